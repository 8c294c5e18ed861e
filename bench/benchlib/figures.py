# SPDX-License-Identifier: GPL-2.0-only
"""What a benchmark has found: figures, and the tables that they are in.

A part declares each of its figures once, a Figure, and yields a Value of it when it has
been measured. table.py shows them, compare.py compares them; neither knows a part.
"""

import dataclasses
from typing import Callable, Optional

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Unit:
    """What is counted, and how a table shows it."""
    name: str
    form: Callable[[float], str]


INSTRUCTIONS = Unit("instructions", "{:,.0f}".format)
MILLIONS = Unit("instructions", lambda value: f"{value / 1e6:,.1f}")
ROUND_MILLIONS = Unit("instructions", lambda value: f"{value / 1e6:,.0f}")
TENTHS = Unit("instructions", "{:.1f}".format)
BYTES = Unit("bytes", "{:,.0f}".format)
NUMBER = Unit("", "{:,}".format)
NANOSECONDS = Unit("ns", "{:,}".format)
MILLISECONDS = Unit("ns", lambda value: f"{value / 1e6:,.1f} ms")
MICROSECONDS = Unit("us", "{:.1f}".format)
SECONDS = Unit("s", "{:.2f}".format)
PERCENT = Unit("%", "{:.1f} %".format)
TRUTH = Unit("yes or no", lambda value: "yes" if value else "NO")
SAME = Unit("the same or not", lambda value: "the same" if value else "DIFFERENT")


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How the last value stands to the first. @of gives None where there is none."""
    of: Optional[Callable[[float, float], Optional[float]]]
    form: Callable[[float], str]


def _less(ratio):
    return f"{ratio:,.{1 if ratio >= 10 else 2}f}x less"


TIMES = Ratio(lambda ours, peer: ours / peer if peer else None, "{:.2f}x".format)
LESS = Ratio(lambda ours, peer: peer / ours if ours > 0 else None, _less)
FASTER = Ratio(lambda ours, peer: peer / ours if ours > 0 else None,
               "{:,.0f}x faster".format)
MORE = Ratio(lambda few, many: 100 * (many / few - 1) if few > 0 else 0,
             "{:+.1f} %".format)
# The part computes it.
SHARE = Ratio(None, "{:.0f} %".format)
TENTH_SHARE = Ratio(None, "{:.1f} %".format)
GROWTH = Ratio(None, "{:.2f}x".format)


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a figure is to reach; @missed is shown when it does not."""
    text: str
    test: Callable[["Value"], bool]
    missed: str = ""

    def shown(self, met):
        return self.text if met else self.missed or f"{self.text}  MISSED"


def ratio_at_most(limit, unit="x"):
    return Goal(f"{limit}{unit} or less", lambda value: value.ratio <= limit)


def ratio_at_least(limit, unit):
    return Goal(f"{limit}{unit} or more", lambda value: value.ratio >= limit)


def times_less(limit, when=""):
    return Goal(f"{limit}x less{when}",
                lambda value: value.peer >= limit * value.ours)


def value_at_most(limit, text=""):
    return Goal(text or f"{limit} or less", lambda value: value.ours <= limit)


YES = Goal("yes", lambda value: bool(value.ours))


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a part can say. @key and @name may have {words} that a Value fills in.

    @exact: it is the same in each run of the same images, so a later one can be held
    against it. @better is "less", "more", or "" for what is neither good nor bad.
    """
    key: str
    name: str
    unit: Unit
    exact: bool
    peer: str = ""
    ratio: Optional[Ratio] = None
    goal: Optional[Goal] = None
    better: str = "less"

    def of(self, *values, ratio=None, shown=(), judged=True, **words):
        """A Value: a number for each column of the table, or a text in its place.

        @shown: texts in place of what the unit would show. @judged: whether the goal is
        meant for this run.
        """
        value = Value(self, self.key.format(**words), self.name.format(**words),
                      values, tuple(shown))
        value.ratio = ratio
        if ratio is None and self.ratio and self.ratio.of and value.is_number():
            value.ratio = self.ratio.of(values[0], values[-1])
        if self.goal:
            value.met = not judged or value.is_number() and self.goal.test(value)
        return value


@dataclasses.dataclass
class Value:
    """A figure as it was measured."""
    figure: Figure
    key: str
    name: str
    values: tuple
    shown: tuple = ()
    ratio: Optional[float] = None
    met: Optional[bool] = None

    @property
    def ours(self):
        return self.values[0]

    @property
    def peer(self):
        return self.values[-1]

    def is_number(self):
        """A text stands where an error has come in place of a number."""
        return not any(isinstance(value, str) for value in self.values)

    def as_dict(self, columns):
        figure = self.figure
        return {"key": self.key, "name": self.name.strip(), "unit": figure.unit.name,
                "deterministic": figure.exact, "better": figure.better,
                "peer": figure.peer, "goal": figure.goal and figure.goal.text,
                "met": self.met, "ratio": self.ratio,
                "values": {column: value for column, value
                           in zip(columns, self.values) if value is not None}}


@dataclasses.dataclass
class Table:
    """Values that are shown together.

    @columns: {what it is called for good: heading}, or headings that are both. @peers:
    those that are not ours. @ratio and @goal are headings; None: no such column.
    """
    title: str
    columns: object
    rows: object
    peers: tuple = ()
    ratio: Optional[str] = "ratio"
    goal: Optional[str] = "to reach"
    notes: tuple = ()

    def __post_init__(self):
        if not isinstance(self.columns, dict):
            self.columns = {str(name): str(name) for name in self.columns}

    def as_dict(self):
        keys = [row.key for row in self.rows]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"two figures are called {twice.pop()}")
        return {"title": self.title, "peers": list(self.peers),
                "figures": [row.as_dict(self.columns) for row in self.rows]}


def beside(title, rows, columns=("ours", "stock or peer"), **more):
    """The common table: ours, and what it is measured beside."""
    return Table(title, columns, rows, peers=tuple(columns[1:]), **more)
