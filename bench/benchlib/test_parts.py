# SPDX-License-Identifier: GPL-2.0-only
"""Whether all parts are there, and say what bench/report asks of them."""

import argparse
import itertools
import unittest
from pathlib import Path
from unittest import mock

import parts
from benchlib import machine, picture, table

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


class Numbers(dict):
    """A run that has whatever it is asked for, each time something else."""
    log = Path("/dev/null")
    count = itertools.count(1000)

    def __missing__(self, key):
        self[key] = Numbers() if key == "phases" else next(self.count)
        return self[key]


class Dry:
    """machine.Machine without machines."""

    def __init__(self):
        self.runs, self.names = {}, []

    def vm(self, name, program, needs=None, phases=(), timeout=0, **fields):
        del needs, timeout
        machine.spec_of(program, **fields)
        self.names.append((name, program, fields))
        run = self.runs.setdefault(name, Numbers())
        for phase, _ in phases:
            run["phases"][phase]  # pylint: disable=pointless-statement
        return run

    def demo(self, name, **_options):
        return self.runs.setdefault(name, Numbers())


class DryRun(unittest.TestCase):
    """All that a part does with its numbers, but for those that run natively."""

    def measure(self, name, full):
        part, dry = parts.load(name), Dry()
        parser = argparse.ArgumentParser(add_help=False)
        getattr(part, "arguments", lambda parser: None)(parser)
        options = parser.parse_args([])
        options.full = full
        with mock.patch.object(machine, "output", return_value=("", "")), \
                mock.patch.object(picture, "stacked"):
            found = [(one, list(one.rows)) for one in part.tables(dry, options)]
        for one, one.rows in found:
            yield one
        self.assertTrue(dry.names)
        for run, _, fields in dry.names:
            self.assertEqual([fields], [other for name, _, other in dry.names
                                        if name == run][:1], run)

    def test_they_make_tables(self):
        for name in parts.NAMES:
            for full in (False, True) if parts.load(name).KERNELS else ():
                with self.subTest(name, full=full):
                    keys = []
                    for one in self.measure(name, full):
                        self.assertGreater(len(list(table.lines(one))), 1)
                        keys += [figure["key"] for figure in one.as_dict()["figures"]]
                    self.assertEqual(sorted(keys), sorted({*keys}))


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
