# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the harness with machines that hang, warn and fail on purpose.

Run by scripts/vm selftest --vm; each takes some seconds.
"""

import tempfile
import unittest
from pathlib import Path

from vmlib import again, runner, table


def probe(name, args, **options):
    return table.Spec(name=f"probe_{name}", program="vm-probe", args=args,
                      memory="512M", **options)


def log_of(result):
    return result.log.read_text(errors="replace")


class Probes(unittest.TestCase):
    def test_slow_but_talking(self):
        """Longer than it may be silent, and no failure."""
        result = runner.run(probe("slow", "slow,12", quiet=6))
        self.assertEqual(result.why, [])
        self.assertGreater(result.seconds, 12)
        self.assertLess(result.longest, 6)

    def test_hang_with_interrupts_off(self):
        result = runner.run(probe("hang", "HARDLOCKUP", quiet=6))
        log = log_of(result)
        self.assertIn("no word for 6 s", result.why[0])
        self.assertFalse(result.reported)
        self.assertRegex(log, r"interrupts off\n  at 0x\w+ lkdtm_HARDLOCKUP\+")
        self.assertIn("the kernel has answered an NMI", log)
        self.assertRegex(log, r"RIP: \w+:lkdtm_HARDLOCKUP\+")

    def test_hang_of_the_program(self):
        """The NMI tells what each task waits for."""
        result = runner.run(probe("still", "still", quiet=6))
        log = log_of(result)
        self.assertIn("no word for 6 s", result.why[0])
        self.assertRegex(log, r"CPU \d: halted, interrupts on")
        self.assertRegex(log, r"task:test\s+state:S")
        self.assertIn("__do_sys_pause", log)

    def test_report(self):
        """The machine does not go on for a minute after its kernel has warned."""
        result = runner.run(probe("report", "WARNING"))
        self.assertIn("its kernel reports: ", result.why[0])
        self.assertIn("WARNING", result.reported)
        self.assertIn("where the CPUs were", log_of(result))

    def test_panic(self):
        result = runner.run(probe("panic", "PANIC"))
        self.assertTrue(any("Kernel panic" in why for why in result.why))
        self.assertTrue(result.reported)
        self.assertIn("where the CPUs were", log_of(result))

    def test_expected_report(self):
        result = runner.run(probe("expected", "WARNING,1",
                                  expect=["WARNING: .*lkdtm", "Call Trace:"]))
        self.assertEqual(result.why, [])

    def test_flaky(self):
        """Fails, then passes alone: passed, with both logs kept."""
        first = runner.run(probe("flaky", "fail"))
        said = []
        with tempfile.TemporaryDirectory() as place:
            counted, flaky = again.all_failed(
                [first], lambda spec: runner.run(probe("flaky", "good"), alone=True),
                Path(place), said.append)
            self.assertEqual([result.ok() for result in counted], [True])
            self.assertEqual(len(flaky), 1)
            self.assertEqual({path.name for path in Path(place).glob("*/*")},
                             {"first.log", "alone.log", "why"})
        self.assertIn("flaky probe_flaky", said[0])


if __name__ == "__main__":
    unittest.main()
