# SPDX-License-Identifier: GPL-2.0-only
"""Which differences between two runs count, and which are only shown."""

import json
import tempfile
import unittest
from pathlib import Path

from benchlib import compare

EXACT = {"key": "fault", "name": "fault", "deterministic": True, "better": "less"}


def run(values, full=False, commit="abc", **more):
    """A part that has one figure."""
    return {"pool": {"machine": {"commit": commit}, "options": {"full": full},
                     "tables": [{"title": "t", "peers": ["stock"],
                                 "figures": [{**EXACT, **more, "values": values}]}]}}


def marks(old, new, percent=2, **more):
    return [pair.mark for pair in compare.pairs(run(old, **more), run(new, **more),
                                                percent)]


class Judgement(unittest.TestCase):
    def test_the_margin_belongs_to_what_is_good(self):
        for new, mark in ((1020, ""), (1021, "WORSE"), (981, ""), (980, "better")):
            self.assertEqual(marks({"ours": 1000}, {"ours": new}), [mark], new)

    def test_the_margin_is_a_choice(self):
        self.assertEqual(marks({"ours": 1000}, {"ours": 1001}, percent=0), ["WORSE"])
        self.assertEqual(marks({"ours": 1000}, {"ours": 1040}, percent=5), [""])

    def test_nothing_before(self):
        self.assertEqual(marks({"ours": 0}, {"ours": 1}), ["WORSE"])
        self.assertEqual(marks({"ours": 0}, {"ours": 0}), [""])

    def test_more_may_be_better(self):
        self.assertEqual(marks({"ours": 256}, {"ours": 200}, better="more"), ["WORSE"])
        self.assertEqual(marks({"ours": 200}, {"ours": 256}, better="more"), ["better"])

    def test_times_and_peers_are_shown_only(self):
        self.assertEqual(marks({"ours": 1}, {"ours": 9}, deterministic=False),
                         ["not judged"])
        self.assertEqual(marks({"stock": 1}, {"stock": 9}), ["not judged"])
        self.assertEqual(marks({"ours": 1}, {"ours": 9}, better=""), ["not judged"])

    def test_answers(self):
        self.assertEqual(marks({"ours": True}, {"ours": False}), ["WORSE"])
        self.assertEqual(marks({"ours": False}, {"ours": True}), ["better"])
        self.assertEqual(marks({"ours": True}, {"ours": True}), [""])

    def test_an_error_in_place_of_a_number(self):
        self.assertEqual(marks({"ours": 5}, {"ours": "failed"}), ["WORSE"])
        self.assertEqual(marks({"ours": "failed"}, {"ours": 5}), ["better"])

    def test_what_one_side_has_alone(self):
        self.assertEqual(marks({"ours": 5, "16": 1}, {"ours": 5, "32": 2}),
                         ["", "only in OLD", "only in NEW"])


class Runs(unittest.TestCase):
    def test_of_different_forms(self):
        with self.assertRaisesRegex(compare.Unreadable, "--full"):
            list(compare.pairs(run({}, full=True), run({}), 2))

    def test_with_nothing_in_common(self):
        with self.assertRaisesRegex(compare.Unreadable, "in common"):
            list(compare.pairs(run({}), {"map": run({})["pool"]}, 2))

    def test_machines(self):
        self.assertEqual(list(compare.differences(run({}), run({}))), [])
        self.assertEqual(list(compare.differences(run({}), run({}, commit="def"))),
                         ['not the same: commit: "abc", "def" (pool)'])

    def test_rows(self):
        found = compare.pairs(run({"ours": 1000}), run({"ours": 2500.5}), 2)
        self.assertEqual(list(compare.rows(found)), [
            ("pool", "", "old", "new", "ratio", ""),
            ("  fault", "ours", "1,000", "2,500.50", "2.501x", "WORSE")])


class Files(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)

    def test_one_or_a_directory(self):
        for name in ("pool", "map"):
            (self.place / f"{name}.json").write_text(
                json.dumps({"parts": {name: run({})["pool"]}}))
        self.assertEqual([*compare.load(self.place)], ["map", "pool"])
        self.assertEqual([*compare.load(self.place / "map.json")], ["map"])

    def test_that_are_none(self):
        (self.place / "old.json").write_text("[]")
        for path in ("nowhere.json", "old.json"):
            with self.assertRaises(compare.Unreadable):
                compare.load(self.place / path)
        (self.place / "old.json").unlink()
        with self.assertRaises(compare.Unreadable):
            compare.load(self.place)


if __name__ == "__main__":
    unittest.main()
