# SPDX-License-Identifier: GPL-2.0-only
"""Whether all parts are there, and say what bench/report asks of them."""

import argparse
import unittest
from pathlib import Path

import parts
from benchlib import machine

PLACE = Path(parts.__file__).parent
COMMON = {"parts", "full", "json", "list"}


class Parts(unittest.TestCase):
    def each(self, check):
        for name in parts.NAMES:
            with self.subTest(name):
                check(parts.load(name))

    def test_all_are_named(self):
        files = {path.stem for path in PLACE.glob("*.py")} - {"__init__"}
        self.assertEqual(sorted(parts.NAMES), sorted(files))

    def test_what_they_need_is_known(self):
        self.each(lambda part: self.assertLessEqual({*part.KERNELS}, {*machine.IMAGES}))

    def test_the_first_line_says_what_it_is_about(self):
        self.each(lambda part: self.assertGreater(len(parts.title(part)), 20))

    def test_figures_have_names_of_their_own(self):
        def check(part):
            keys = [figure.key for figure in parts.declared(part)]
            self.assertTrue(keys)
            self.assertEqual(sorted(keys), sorted({*keys}))

        self.each(check)

    def test_options_of_their_own(self):
        def check(part):
            parser = argparse.ArgumentParser(add_help=False)
            getattr(part, "arguments", lambda parser: None)(parser)
            self.assertFalse({*vars(parser.parse_args([]))} & COMMON)

        self.each(check)


class Images(unittest.TestCase):
    def test_what_is_missing_has_a_next_step(self):
        before = machine.IMAGES["stock"]
        self.addCleanup(machine.IMAGES.update, stock=before)
        machine.IMAGES["stock"] = Path("/nowhere/bzImage")
        with self.assertRaisesRegex(machine.Failed, "(?s)^error: no /nowhere.*next: make"):
            machine.require(["stock"])
        machine.require(["/nowhere/else"])

    def test_a_metric_that_did_not_come(self):
        result = argparse.Namespace(metrics={"a": 5.0}, log=Path("the.log"),
                                    why=["it has hung"])
        run = machine.Run("stock 64", result)
        self.assertEqual(run["a"], 5)
        with self.assertRaisesRegex(machine.Failed, "stock 64: no b: it has hung"):
            run["b"]  # pylint: disable=pointless-statement


if __name__ == "__main__":
    unittest.main()
