# SPDX-License-Identifier: GPL-2.0-only
"""Finds what is wrong in a kernel log.

A test passes only with a clean log. TROUBLE says what is not clean; EXCEPTIONS
lists the lines that look like trouble and are none, each with its reason. A
test may name lines that it provokes: those are allowed, and missed when absent.
"""

import re

TROUBLE = [re.compile(pattern) for pattern in (
    r"\bWARNING: ",
    r"\bBUG: ",
    r"\bBUG [a-z]\S* .*: ",
    r"\bkernel BUG at ",
    r"\bOops\b",
    r"\bgeneral protection fault\b",
    r"\bunable to handle\b",
    r"\bKernel panic\b",
    r"\bINFO: ",
    r"\bpossible (circular|recursive|irq lock inversion|deadlock)",
    r"\binconsistent lock state\b",
    r"\bsuspicious RCU usage\b",
    r"\bheld lock freed\b",
    r"\bbad unlock balance\b",
    r"\bK(A|C|M)SAN: ",
    r"\bUBSAN: ",
    r"\bkmemleak: [1-9]\d* new suspected",
    r"\bunreferenced object 0x",
    r"\bBad page (state|map|cache)\b",
    r"\bpage dumped because\b",
    r"\bnonzero (mapcount|_refcount|pincount)\b",
    r"\bblocked for more than\b",
    r"\bsoft lockup\b",
    r"\bhard LOCKUP\b",
    r"\bdetected stalls?\b",
    r"\bself-detected stall\b",
    r"\bCall Trace:",
    r"\blist_(add|del) corruption\b",
    r"\brefcount_t: ",
    r"\bOut of memory: ",
    r"\binvoked oom-killer\b",
    r"\bpage allocation failure\b",
    r"\bsegfault at\b",
    r"\b\d+ (printk )?messages? dropped\b",
    r"\btrap (invalid opcode|divide error)\b",
)]

# Pattern, reason.
EXCEPTIONS = [(re.compile(pattern), reason) for pattern, reason in (
    (r"BUG: .*\bself-?test\b", "the kernel's own self-tests announce themselves"),
)]


def trouble(line, expected=()):
    """Is the line wrong, and none that is expected?"""
    allowed = [regex for regex, _ in EXCEPTIONS] + \
        [re.compile(pattern) for pattern in expected]
    return not any(regex.search(line) for regex in allowed) and \
        any(regex.search(line) for regex in TROUBLE)


def problems(text, expected=()):
    """Lines of the log that are wrong, and expected ones that are missing."""
    found = [line.strip() for line in text.splitlines()
             if trouble(line, expected)]
    found += [f"missing from the log: {pattern}" for pattern in expected
              if not re.search(pattern, text, re.M)]
    return found


def missing_marks(text, token, stages):
    """Stages whose closing mark is not in the log: some of it was lost."""
    return [stage for stage in range(stages)
            if f"preserve-vm: {token} stage {stage} ends" not in text]
