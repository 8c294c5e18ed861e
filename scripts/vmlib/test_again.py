# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what becomes of a test that fails."""

import tempfile
import unittest
from pathlib import Path

from vmlib import again, runner, table, times


def result(name, why=(), reported="", log=Path("/none"), seconds=1.0):
    return runner.Result(table.Spec(name), list(why), ["case"], [], {}, [], [],
                         seconds, log, 0.0, reported)


class Again(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.said = []

    def look(self, results, second):
        return again.all_failed(results, second, self.place, self.said.append)

    def test_good_ones_run_once(self):
        counted, flaky = self.look([result("a")], self.fail)
        self.assertTrue(counted[0].ok())
        self.assertEqual(flaky, [])

    def test_good_alone_is_flaky_and_counts(self):
        log = self.place / "some.log"
        log.write_text("text")
        counted, flaky = self.look(
            [result("a", ["late"], log=log)], lambda spec: result("a", log=log))
        self.assertTrue(counted[0].ok())
        self.assertEqual(len(flaky), 1)
        for name in ("first.log", "alone.log", "why"):
            self.assertTrue((self.place / "a-normal" / name).is_file())
        self.assertIn("flaky a (normal)", self.said[0])

    def test_bad_twice_is_bad(self):
        counted, flaky = self.look([result("a", ["late"])],
                                   lambda spec: result("a", ["later"]))
        self.assertFalse(counted[0].ok())
        self.assertEqual(flaky, [])

    def test_a_report_is_never_flaky(self):
        counted, flaky = self.look([result("a", ["WARNING: x"], "WARNING: x")],
                                   lambda spec: result("a"))
        self.assertFalse(counted[0].ok())
        self.assertEqual(flaky, [])

    def test_the_third_flaky_one_is_bad(self):
        counted, flaky = self.look([result(n, ["late"]) for n in "abc"],
                                   lambda spec: result(spec.name))
        self.assertEqual([one.ok() for one in counted], [True, True, False])
        self.assertEqual(len(flaky), 2)


    def test_there_is_an_end_to_second_runs(self):
        ran = []

        def broken(spec):
            ran.append(spec.name)
            return result(spec.name, ["late"])
        names = [str(n) for n in range(again.ENOUGH + 3)]
        counted, _ = self.look([result(n, ["late"]) for n in names], broken)
        self.assertEqual(ran, names[:again.ENOUGH])
        self.assertFalse(any(one.ok() for one in counted))


class Times(unittest.TestCase):
    def test_long_ones_first_and_unknown_ones_before(self):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "below/seconds.json")
            specs = [table.Spec(name) for name in ("short", "new", "long")]
            times.remember([result("short", seconds=2.0),
                            result("long", seconds=50.0)], path)
            self.assertEqual([s.name for s in times.longest_first(specs, path)],
                             ["new", "long", "short"])
            path.write_text("no json")
            self.assertEqual(times.last(path), {})

    def test_the_slowest_is_shown_first(self):
        lines = list(times.table([result("a", seconds=2.0),
                                  result("b", seconds=9.0)], 10))
        self.assertIn("2 tests, 11 s of machines in 10 s", lines[0])
        self.assertIn("b (normal)", lines[1])


if __name__ == "__main__":
    unittest.main()
