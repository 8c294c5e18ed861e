# SPDX-License-Identifier: GPL-2.0-only
"""What scripts/vm is made of: initial file system, QEMU, verdict, log, table."""
