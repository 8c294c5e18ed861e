# SPDX-License-Identifier: GPL-2.0-only
"""Shows tables of figures, with aligned columns, ratios, and marks at goals missed."""


def align(rows, left=(0,)):
    """Lines. All columns but those in @left are aligned at the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        yield "  ".join(f"{cell:{'<' if i in left else '>'}{width}}"
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip()


def _cell(value, i):
    if i < len(value.shown):
        return value.shown[i]
    number = value.values[i] if i < len(value.values) else None
    if number is None or isinstance(number, str):
        return number or ""
    return value.figure.unit.form(number)


def _ratio(value):
    form = value.figure.ratio
    if not form or not value.is_number():
        return ""
    return "-" if value.ratio is None else form.form(value.ratio)


def _goal(value):
    goal = value.figure.goal
    return goal.shown(value.met) if goal else ""


def lines(table):
    """A figures.Table as text; the goals are at the left of their column."""
    ends = [(heading, cell) for heading, cell
            in ((table.ratio, _ratio), (table.goal, _goal)) if heading is not None]
    rows = [(table.title, *table.columns.values(), *(heading for heading, _ in ends))]
    rows += [(value.name, *(_cell(value, i) for i in range(len(table.columns))),
              *(cell(value) for _, cell in ends)) for value in table.rows]
    last = {len(rows[0]) - 1} if table.goal is not None else set()
    yield from align(rows, {0} | last)
    yield from table.notes
