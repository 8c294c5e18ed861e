# SPDX-License-Identifier: GPL-2.0-only
"""Tests of when a machine is ended, and of the clock that says so."""

import unittest

from vmlib import klog, pace, qemu


class Wall:
    """Time that passes when it is told to."""
    now = 100.0

    def __call__(self):
        return self.now


class Clock(unittest.TestCase):
    def setUp(self):
        self.wall = Wall()
        self.clock = pace.Clock(slowness=1.0, wall=self.wall)

    def test_runs_like_the_wall_clock_on_a_good_machine(self):
        self.wall.now += 7
        self.assertEqual(self.clock.now(), 7)

    def test_runs_slower_on_a_slow_one(self):
        self.wall.now += 4
        self.clock.set_slowness(2.0)
        self.wall.now += 4
        self.assertEqual(self.clock.now(), 6)

    def test_a_measurement_is_no_less_than_one(self):
        self.assertGreaterEqual(pace.measure(b"x"), 1.0)


class Watch(unittest.TestCase):
    def setUp(self):
        self.wall = Wall()
        self.clock = pace.Clock(slowness=1.0, wall=self.wall)
        self.watch = qemu.Watch(
            qemu.Limits(quiet=10, total=100, grace=5), self.clock,
            lambda line: line if klog.trouble(line) else "")

    def after(self, seconds, *lines):
        self.wall.now += seconds
        if lines:
            self.watch.heard(lines)
        return self.watch.over()

    def test_silence(self):
        self.assertEqual(self.after(9), "")
        self.assertIn("no word", self.after(2))

    def test_any_word_breaks_the_silence(self):
        self.assertEqual(self.after(9, ""), "")
        self.assertEqual(self.after(9), "")
        self.assertEqual(self.watch.longest, 9)

    def test_a_slow_machine_may_be_silent_for_longer(self):
        self.clock.set_slowness(3.0)
        self.assertEqual(self.after(29), "")
        self.assertIn("3.0 times slower", self.after(2))

    def test_talking_does_not_go_on_for_ever(self):
        for _ in range(20):
            self.assertEqual(self.after(5, "a word"), "")
        self.assertIn("not done after 100 s", self.after(5, "a word"))

    def test_a_report_ends_it_with_time_for_the_rest(self):
        self.assertEqual(self.after(1, "good", "WARNING: at x", "BUG: y"), "")
        self.assertEqual(self.after(4, "Call Trace:"), "")
        self.assertIn("reports: WARNING: at x", self.after(2))
        self.assertEqual(self.watch.report, "WARNING: at x")


if __name__ == "__main__":
    unittest.main()
