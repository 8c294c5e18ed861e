# SPDX-License-Identifier: GPL-2.0-only
"""Reads what a guest says on its port and judges it.

Lines: "STAGE n", "EXIT status|signal n" and "VERDICT token stage n pass|fail"
from the guest's init,
TAP from the test, "METRIC name value" and "MARK name" from tests and benches.
A skipped case counts as failed: in the VM, everything that a test needs is
there or its absence is the fault.
"""

import re

RESULT = re.compile(r"^(ok|not ok)\b\s*(\d+)?\s*-?\s*(.*)$")
PLAN = re.compile(r"^1\.\.(\d{1,9})\b")
SKIP = re.compile(r"#\s*SKIP\b", re.IGNORECASE)


class Port:
    """Everything that came, by stage."""

    def __init__(self):
        self.lines = []
        self.stages = []
        self.passed = []
        self.failed = []
        self.metrics = {}
        self.marks = []
        self.verdict = None
        self.problems = []

    def feed(self, line, when):
        self.lines.append(line)
        line = line.lstrip("\r\0")
        word, _, rest = line.partition(" ")
        if word == "STAGE":
            self.stages.append({"number": rest.strip(), "start": when,
                                "plan": None, "count": 0})
        elif word == "METRIC":
            self._metric(rest)
        elif word == "MARK":
            self.marks.append((rest.strip(), when))
        elif word == "VERDICT":
            self.verdict = rest.split()
        elif word == "EXIT":
            if rest != "status 0":
                self.problems.append(f"the test ended with {rest}")
        elif word == "Bail":
            self.problems.append(line)
        else:
            self._tap(line)

    def _metric(self, rest):
        try:
            name, value = rest.split()
            self.metrics[name] = float(value)
        except ValueError:
            self.problems.append(f"no metric: {rest}")

    def _tap(self, line):
        if not self.stages:
            return
        plan = PLAN.match(line)
        if plan:
            self.stages[-1]["plan"] = int(plan[1])
            return
        result = RESULT.match(line)
        if not result:
            return
        self.stages[-1]["count"] += 1
        name = result[3]
        if result[1] == "ok" and not SKIP.search(name):
            self.passed.append(name)
        else:
            self.failed.append(name)

    def judge(self, token, nr_stages):
        """Why this is no pass; empty when it is one."""
        why = [f"not ok: {name}" for name in self.failed] + self.problems
        numbers = [stage["number"] for stage in self.stages]
        wanted = [str(n) for n in range(nr_stages)]
        if numbers != wanted:
            why.append(f"stages seen: {' '.join(numbers) or 'none'}; "
                       f"wanted 0..{nr_stages - 1}")
        for stage in self.stages:
            if stage["count"] and stage["plan"] != stage["count"]:
                why.append(f"stage {stage['number']}: {stage['count']} results, "
                           f"plan says {stage['plan']}")
        if not self.passed and not self.metrics:
            why.append("no result and no metric")
        if self.verdict is None:
            why.append("no verdict")
        elif self.verdict != [token, "stage", wanted[-1], "pass"]:
            why.append(f"verdict: {' '.join(self.verdict[1:])}")
        return why
