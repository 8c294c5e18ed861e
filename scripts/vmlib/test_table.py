# SPDX-License-Identifier: GPL-2.0-only
"""Tests of sections of the table that are like others."""

import tempfile
import unittest
from pathlib import Path

from vmlib import table

BASE = """\
[base]
args = 5
stages = 3
append = pool
debug.args = 2
long.args = 50
expect =
  one
  two

"""


class Like(unittest.TestCase):
    @staticmethod
    def load(text):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tests.list"
            path.write_text(text)
            return table.load(path)

    def spec(self, text, name="t", **how):
        return table.spec(self.load(text), name, **how)

    def refused(self, why, text):
        with self.assertRaisesRegex(table.TableError, why):
            self.load(text)

    def test_takes_all_keys_and_the_program(self):
        spec = self.spec(BASE + "[t]\nlike = base\n")
        self.assertEqual((spec.name, spec.program, spec.args, spec.stages, spec.expect),
                         ("t", "base", "5", 3, ["one", "two"]))
        self.assertEqual(self.spec(BASE + "[t]\nlike = base\n", kernel="debug").args, "2")
        self.assertEqual(self.spec(BASE + "[t]\nlike = base\n", long=True).args, "50")

    def test_its_own_keys_win(self):
        spec = self.spec(BASE + "[t]\nstages = 7\nlike = base\nexpect = three\n")
        self.assertEqual((spec.stages, spec.expect, spec.args), (7, ["three"], "5"))

    def test_a_more_special_key_wins_wherever_it_stands(self):
        text = BASE + "[t]\nlike = base\nargs = 6\n"
        self.assertEqual(self.spec(text).args, "6")
        self.assertEqual(self.spec(text, kernel="debug").args, "2")

    def test_no_value_is_the_default(self):
        spec = self.spec(BASE + "[t]\nlike = base\nstages =\nappend =\nexpect =\n")
        self.assertEqual((spec.stages, spec.append, spec.expect), (1, "", []))

    def test_the_other_may_stand_below_and_keeps_what_it_is(self):
        tests = self.load("[t]\nlike = base\nargs = 6\n" + BASE)
        self.assertEqual(table.spec(tests, "t").stages, 3)
        self.assertEqual(table.spec(tests, "base").args, "5")
        self.assertEqual(list(tests), ["t", "base"])

    def test_a_chain(self):
        text = BASE + "[t]\nlike = middle\nargs = 7\n[middle]\nlike = base\nstages = 9\n"
        spec = self.spec(text)
        self.assertEqual((spec.program, spec.args, spec.stages, spec.append),
                         ("base", "7", 9, "pool"))

    def test_a_program_goes_along_a_chain(self):
        text = "[t]\nlike = middle\n[middle]\nlike = base\n[base]\nprogram = p\n"
        self.assertEqual(self.spec(text).program, "p")

    def test_an_unknown_section(self):
        self.refused(r"\[t\] is like \[nobody\], which is not there",
                     BASE + "[t]\nlike = nobody\n")

    def test_a_circle(self):
        self.refused(r"\[t\] is like itself: t$", "[t]\nlike = t\n")
        self.refused(r"\[a\] is like itself: a, b$", "[a]\nlike = b\n[b]\nlike = a\n")
        self.refused(r"\[b\] is like itself: t, b, c$",
                     "[t]\nlike = b\n[b]\nlike = c\n[c]\nlike = b\n")

    def test_of_one_kernel_or_of_long_runs_it_is_unknown(self):
        self.refused("unknown key debug.like", BASE + "[t]\ndebug.like = base\n")
        self.refused("unknown key long.like", BASE + "[t]\nlong.like = base\n")

    def test_an_unknown_key_of_the_other(self):
        self.refused("unknown key stagse", "[t]\nlike = base\n[base]\nstagse = 1\n")


if __name__ == "__main__":
    unittest.main()
