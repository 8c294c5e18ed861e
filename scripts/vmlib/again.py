# SPDX-License-Identifier: GPL-2.0-only
"""Runs a test that failed once more, by itself, and tells flaky from broken.

A test that fails beside others and passes alone is flaky: it counts as passed, and
is named. It has failed all the same if the run has had its share of flaky tests. One
whose kernel has reported something has failed, and is not run again.
"""

import dataclasses
import shutil

ALLOWED = 2                     # flaky tests in one run; one more is a failure
ENOUGH = 5                      # tests that failed alone, too: no more is to be learnt


@dataclasses.dataclass
class Second:
    """What became of a test that failed."""
    first: object               # runner.Result
    again: object
    flaky: bool
    why: str = ""               # it failed though it passed alone

    def counted(self):
        """The result that counts."""
        return self.again if self.flaky else self.first

    def lines(self):
        first, again = self.first, self.again
        name = f"{first.spec.name} ({first.spec.kernel})"
        if self.flaky:
            yield f"flaky {name}: alone it passed. First: {first.why[0]}"
        elif self.why:
            yield f"FAIL  {name}: alone it passed, but {self.why}"
        else:
            yield f"FAIL  {name}: alone, too: {again.why[0]}"
        yield f"      logs: {first.log}"
        yield f"            {again.log}"


def judge(first, again, nr_flaky):
    """@nr_flaky: how many were flaky before in this run."""
    if not again.ok():
        return Second(first, again, False)
    if nr_flaky >= ALLOWED:
        return Second(first, again, False,
                      f"{nr_flaky} others were flaky in this run")
    return Second(first, again, True)


def keep(second, directory):
    """Puts both logs where they stay until the next run."""
    place = directory / second.first.spec.label()
    place.mkdir(parents=True, exist_ok=True)
    for result, name in ((second.first, "first.log"), (second.again, "alone.log")):
        if result.log.exists():
            result.log = shutil.copyfile(result.log, place / name)
    (place / "why").write_text("\n".join(second.first.why) + "\n")


def all_failed(results, run, directory, say):
    """Looks at each failed result again. @run runs a spec alone. Returns the results
    that count, in the same order, and those that were flaky."""
    counted, flaky, broken = [], [], 0
    for result in results:
        if not result.ok() and not result.reported and broken < ENOUGH:
            second = judge(result, run(result.spec), len(flaky))
            broken += not second.again.ok()
            if second.flaky:
                keep(second, directory)
            for line in second.lines():
                say(line)
            result = second.counted()
            flaky += [second] if second.flaky else []
        counted.append(result)
    return counted, flaky
