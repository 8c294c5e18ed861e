# SPDX-License-Identifier: GPL-2.0-only
"""What becomes of numbers on the way from a part to a table and a file."""

import unittest

from benchlib import figures
from benchlib.figures import Figure, Table


def figure(**more):
    return Figure(**{"key": "key", "name": "name", "unit": figures.INSTRUCTIONS,
                     "exact": True, **more})


class Ratios(unittest.TestCase):
    def test_last_beside_first(self):
        for ratio, want in ((figures.TIMES, 0.5), (figures.LESS, 2), (figures.FASTER, 2),
                            (figures.MORE, 100)):
            self.assertEqual(figure(ratio=ratio).of(50, 100).ratio, want)

    def test_below_zero_nothing_is_less(self):
        self.assertIsNone(figure(ratio=figures.LESS).of(-5, 100).ratio)
        self.assertIsNone(figure(ratio=figures.LESS).of(0, 100).ratio)

    def test_digits_where_they_say_something(self):
        self.assertEqual(figures.LESS.form(9.994), "9.99x less")
        self.assertEqual(figures.LESS.form(1234.56), "1,234.6x less")

    def test_the_part_may_know_better(self):
        self.assertEqual(figure(ratio=figures.TIMES).of(50, 100, ratio=7).ratio, 7)

    def test_none_of_an_error(self):
        self.assertIsNone(figure(ratio=figures.TIMES).of(1, "failed").ratio)


class Goals(unittest.TestCase):
    def met(self, goal, *values, **more):
        return figure(ratio=figures.TIMES, goal=goal).of(*values, **more).met

    def test_limits_belong_to_what_is_met(self):
        self.assertTrue(self.met(figures.ratio_at_most(2), 200, 100))
        self.assertFalse(self.met(figures.ratio_at_most(2), 201, 100))
        self.assertTrue(self.met(figures.ratio_at_least(2, " %"), 200, 100))
        self.assertFalse(self.met(figures.ratio_at_least(2, " %"), 199, 100))
        self.assertTrue(self.met(figures.times_less(2), 50, 100))
        self.assertFalse(self.met(figures.times_less(2), 51, 100))
        self.assertTrue(self.met(figures.value_at_most(200), 200, 1))
        self.assertFalse(self.met(figures.value_at_most(200), 201, 1))

    def test_what_is_below_zero_is_less(self):
        self.assertTrue(self.met(figures.times_less(250), -5, 100))

    def test_an_error_meets_none(self):
        self.assertFalse(self.met(figures.value_at_most(200), "failed", 1))

    def test_not_judged(self):
        self.assertTrue(self.met(figures.times_less(2), 51, 100, judged=False))

    def test_none_without_a_goal(self):
        self.assertIsNone(figure().of(1).met)

    def test_texts(self):
        goal = figures.ratio_at_most(1.05)
        self.assertEqual(goal.shown(True), "1.05x or less")
        self.assertEqual(goal.shown(False), "1.05x or less  MISSED")
        self.assertEqual(figures.Goal("", None, "TOO MUCH").shown(False), "TOO MUCH")


class Files(unittest.TestCase):
    def test_all_that_a_comparison_needs(self):
        rows = [figure(key="fault_{size}", name="  fault, {size}", peer="stock",
                       ratio=figures.TIMES).of(5, None, 10, size="4K")]
        table = Table("pool", ("ours", "none", "stock 7.3"), rows, ("stock 7.3",))
        self.assertEqual(table.as_dict(), {"title": "pool", "peers": ["stock 7.3"],
                                           "figures": [{
            "key": "fault_4K", "name": "fault, 4K", "unit": "instructions",
            "deterministic": True, "better": "less", "peer": "stock", "goal": None,
            "met": None, "ratio": 0.5, "values": {"ours": 5, "stock 7.3": 10}}]})

    def test_a_column_keeps_its_name(self):
        table = Table("db", {"small": "67 MiB"}, [figure().of(5)])
        self.assertEqual(table.as_dict()["figures"][0]["values"], {"small": 5})

    def test_no_two_of_one_name(self):
        with self.assertRaises(ValueError):
            Table("twice", ("ours",), [figure().of(1), figure().of(2)]).as_dict()


if __name__ == "__main__":
    unittest.main()
