# SPDX-License-Identifier: GPL-2.0-only
"""Cuts the time from the reboot call to a program's answer into phases.

A phase ends with a line of the kernel log that has a text, or with a metric of the
program that holds the time stamp counter. The program ties the log's clock to the
counter in both kernels, with the metrics reboot_tsc and up_tsc.
"""

import re
import sys
from pathlib import Path

# Up to the first program; what follows is the benchmark's own.
KERNEL = (
    ("freeze, shut down", "kexec_core: Starting new kernel"),
    ("jump, unpack", None),
    ("early set-up", "mem auto-init:"),
    ("reserve", "SLUB: HWalign"),
    ("scheduler, CPUs", "deferred pages initialised in"),
    ("struct pages", "Memory: "),
    ("init calls", "Run /init"),
)
REBOOT = "reboots"
LINE = re.compile(r"^\[ *(\d+)\.(\d+)\] (.*)$")


def _log_times(path):
    """[(nanoseconds, text), ...] for each kernel of a log."""
    boots = []
    for line in Path(path).read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        if match[3].startswith("Linux version"):
            boots.append([])
        if boots:
            boots[-1].append((int(match[1]) * 10**9 + int(match[2]) * 1000,
                              match[3]))
    return boots


def _find(boot, text, path):
    for when, line in boot:
        if text in line:
            return when
    sys.exit(f"error: the log has no line with: {text}\n  next: read {path}")


def phases(result, table):
    """{phase: instructions}, from the log's lines tied to the counter."""
    path = result["log"]
    old, new = _log_times(path)[:2]
    metrics = result["metrics"]
    zero_old = metrics["reboot_tsc"] - _find(old, "preserve-bench: reboot_tsc", path)
    zero_new = metrics["up_tsc"] - _find(new, "preserve-bench: up_tsc", path)
    begin = zero_old + _find(old, REBOOT, path)
    found = {}
    for name, end in table:
        if name == KERNEL[0][0]:
            until = zero_old + _find(old, end, path)
        elif end is None:
            until = zero_new
        elif end in metrics:
            until = metrics[end]
        else:
            until = zero_new + _find(new, end, path)
        found[name] = until - begin
        begin = until
    return found
