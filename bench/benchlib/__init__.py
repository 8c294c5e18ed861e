# SPDX-License-Identifier: GPL-2.0-only
"""What several benchmarks have in common."""
