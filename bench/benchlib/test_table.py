# SPDX-License-Identifier: GPL-2.0-only
"""The look of tables, which README and Documentation quote."""

import unittest

from benchlib import figures, table
from benchlib.figures import Figure, Table

FAULT = Figure("fault", "fault in {mib} MiB", figures.INSTRUCTIONS, True, "stock",
               figures.TIMES, figures.ratio_at_most(1.05))
INTACT = Figure("intact", "  intact", figures.TRUTH, True, goal=figures.YES)
MEMORY = Figure("memory", "memory", figures.NUMBER, True)


def text(shown):
    return "\n".join(table.lines(shown))


class Look(unittest.TestCase):
    def test_numbers_right_goals_left(self):
        rows = [FAULT.of(1234, 1300, mib=256), FAULT.of(2000, 1000, mib=1024),
                INTACT.of(True), INTACT.of(False)]
        self.assertEqual(text(figures.beside("the pool", rows)), """\
the pool            ours  stock or peer  ratio  to reach
fault in 256 MiB   1,234          1,300  0.95x  1.05x or less
fault in 1024 MiB  2,000          1,000  2.00x  1.05x or less  MISSED
  intact             yes                        yes
  intact              NO                        yes  MISSED""")

    def test_no_goals(self):
        rows = [MEMORY.of(0, 1024), MEMORY.of(7, "Cannot allocate memory")]
        self.assertEqual(text(Table("memfd", ("ours", "stock 7.3"), rows, ratio="",
                                    goal=None)), """\
memfd   ours               stock 7.3
memory     0                   1,024
memory     7  Cannot allocate memory""")

    def test_neither_ratio_nor_goals(self):
        shown = Table("million", ("one", "two"), [MEMORY.of(None, 2)], ratio=None,
                      goal=None)
        self.assertEqual(text(shown), "million  one  two\nmemory          2")

    def test_words_in_place_of_numbers(self):
        shown = Table("tree", ("ours",), [MEMORY.of(12, shown=["12 of 256"])],
                      ratio=None, goal=None)
        self.assertEqual(text(shown), "tree         ours\nmemory  12 of 256")

    def test_where_a_ratio_makes_no_sense(self):
        rows = [Figure("boot", "boot", figures.NUMBER, False, "stock",
                       figures.LESS).of(-5, 100)]
        self.assertEqual(text(figures.beside("t", rows, goal=None)), """\
t     ours  stock or peer  ratio
boot    -5            100      -""")

    def test_notes_come_last(self):
        shown = Table("t", ("ours",), [], ratio=None, goal=None, notes=["", "a note"])
        self.assertEqual(text(shown), "t  ours\n\na note")


if __name__ == "__main__":
    unittest.main()
