# SPDX-License-Identifier: GPL-2.0-only
"""Holds the figures of two runs of bench/report against each other.

Only what is the same in each run can be judged: instructions, bytes, answers of yes or
no. Times are shown. What a peer has is shown, too, for it says whether the two runs had
the same ground.
"""

import dataclasses
import json
from pathlib import Path

WORSE, BETTER, GONE, NEW, FREE = ("WORSE", "better", "only in OLD", "only in NEW",
                                  "not judged")
# What may explain a difference.
PARTICULARS = ("commit", "kernels", "qemu", "cpu")


class Unreadable(Exception):
    """Figures that are not there, or that cannot be compared."""


@dataclasses.dataclass
class Pair:
    """A number of two runs."""
    part: str
    name: str
    column: str
    old: object
    new: object
    mark: str

    def ratio(self):
        if not _is_number(self.old) or not _is_number(self.new) or not self.old:
            return ""
        return f"{self.new / self.old:.3f}x"


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read(path):
    try:
        return json.loads(path.read_text())["parts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{path} has no figures: {error}") from error


def load(path):
    """{part: what report has written of it}, from a file or all of a directory."""
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    parts = {}
    for file in files:
        parts.update(_read(file))
    if not parts:
        raise Unreadable(f"{path} has no figures")
    return parts


def _flat(part):
    """{(figure's key, column): (figure, value, is it ours)}"""
    return {(figure["key"], column): (figure, value, column not in table["peers"])
            for table in part["tables"] for figure in table["figures"]
            for column, value in figure["values"].items()}


def _numbers_mark(old, new, better, percent):
    margin = 1 + percent / 100
    low, high = (old, new) if better == "less" else (new, old)
    if high > low * margin:
        return WORSE
    return BETTER if low > high * margin else ""


def judge(figure, old, new, percent):
    """A mark for a number of ours. An error in a number's place is worse."""
    if not figure["deterministic"] or not figure["better"]:
        return FREE
    if isinstance(old, bool) and isinstance(new, bool):
        return WORSE if old and not new else BETTER if new and not old else ""
    if _is_number(old) and _is_number(new):
        return _numbers_mark(old, new, figure["better"], percent)
    if _is_number(old):
        return WORSE
    return BETTER if _is_number(new) else ""


def _part_pairs(name, old, new, percent):
    before, after = _flat(old), _flat(new)
    for place in dict.fromkeys([*before, *after]):
        figure, _, ours = after.get(place) or before[place]
        values = [side[place][1] if place in side else None
                  for side in (before, after)]
        if place not in after:
            mark = GONE
        elif place not in before:
            mark = NEW
        else:
            mark = judge(figure, *values, percent) if ours else FREE
        yield Pair(name, figure["name"], place[1], *values, mark)


def pairs(old, new, percent):
    """A Pair for each number of the parts that both have."""
    common = [name for name in old if name in new]
    if not common:
        raise Unreadable("the two have no part in common")
    for name in common:
        forms = [side[name]["options"].get("full") for side in (old, new)]
        if forms[0] != forms[1]:
            raise Unreadable(f"{name}: one of the two is of --full")
        yield from _part_pairs(name, old[name], new[name], percent)


def differences(old, new):
    """Lines: what the machines of the two runs do not share."""
    seen = {}
    for name in (name for name in old if name in new):
        for what in PARTICULARS:
            values = [json.dumps(side[name]["machine"].get(what)) for side in (old, new)]
            if values[0] != values[1]:
                seen.setdefault((what, *values), []).append(name)
    for (what, before, after), names in seen.items():
        if max(len(before), len(after)) > 200:
            yield f"not the same: {what} ({', '.join(names)})"
        else:
            yield f"not the same: {what}: {before}, {after} ({', '.join(names)})"


def _text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if _is_number(value):
        return f"{value:,.2f}".removesuffix(".00")
    return value


def rows(found):
    """Cells for table.align(), with a heading for each part."""
    part = None
    for pair in found:
        if pair.part != part:
            part = pair.part
            yield (part, "", "old", "new", "ratio", "")
        yield (f"  {pair.name}", pair.column, _text(pair.old), _text(pair.new),
               pair.ratio(), pair.mark)
