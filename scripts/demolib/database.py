# SPDX-License-Identifier: GPL-2.0-only
"""The first act: an SQLite database in a memory file."""

from vmlib import runner, table

from . import packages
from .screen import Screen, check_clock

PROGRAM = runner.BUILD / "tools/demo"
ROWS_A_STATEMENT = 200
SCHEMA = """CREATE TABLE package (id INTEGER PRIMARY KEY, name TEXT, version TEXT,
 architecture TEXT, section TEXT, size INTEGER, installed INTEGER,
 maintainer TEXT, description TEXT, note TEXT);
"""
INDEX = """CREATE INDEX package_name ON package (name);
CREATE VIEW by_section AS SELECT section, count(*) AS n FROM package
 GROUP BY section ORDER BY n DESC, section;
"""


def _quoted(value):
    return "'" + value.replace("'", "''") + "'"


def _number(value):
    return str(int(value)) if value.isdigit() else "0"


def _sql_row(row):
    cells = [_number(cell) if field.endswith("Size") else _quoted(cell)
             for field, cell in zip(packages.FIELDS, row)]
    return "(NULL," + ",".join(cells) + ",'')"


def _write_sql(rows, path):
    rows = [_sql_row(row) for row in rows]
    with open(path, "w", encoding="utf-8") as out:
        out.write("BEGIN;\n" + SCHEMA)
        for start in range(0, len(rows), ROWS_A_STATEMENT):
            part = rows[start:start + ROWS_A_STATEMENT]
            out.write("INSERT INTO package VALUES\n" + ",\n".join(part) + ";\n")
        out.write(INDEX + "COMMIT;\n")
    return len(rows)


class Act:
    """What the act plays with, and how."""

    def __init__(self):
        self._path, self._rows = packages.written("packages.sql", SCHEMA + INDEX,
                                                  _write_sql)

    def announcement(self):
        return (f"{self._rows:,} packages, {self._path.stat().st_size >> 20} MiB "
                "of SQL text")

    def play(self, options):
        pool = max(128, options.size * 9 // 8)
        spec = table.Spec(
            "demo-plain" if options.plain else "demo", program=str(PROGRAM),
            args=("/packages.sql" + (",plain" if options.plain else "") +
                  (f",{options.size}" if options.size else "")),
            kernel=options.kernel, memory=options.memory, stages=2,
            icount=options.icount,
            append="" if options.plain else f"preserve_pool={pool}M",
            file=[f"{self._path}:packages.sql"], timeout=600 + options.size)
        result = runner.run(spec, options.keep, Screen(self._rows, "rows").line)
        # Under icount the host's clock has another pace.
        if result.ok() and not options.icount:
            check_clock(result, "first-byte")
        return result

    @staticmethod
    def last_word(metrics):
        return (f"The database survived: {int(metrics['rows']):,} rows crossed the "
                f"kexec and answered {metrics['first_query_s']:.2f} s after it, "
                f"without the {metrics['reload_s']:.1f} s of a reload.")
