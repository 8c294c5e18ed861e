# SPDX-License-Identifier: GPL-2.0-only
"""Draws figures with gnuplot."""

import subprocess
import tempfile
from pathlib import Path

from benchlib import machine

SCRIPT = """
set terminal svg size 1100,640 font "sans,13"
set output "{path}"
set title "{title}"
set ylabel "{unit}"
set style data histogram
set style histogram rowstacked
set style fill solid 0.9 border -1
set boxwidth 0.75
set key outside right invert
set xtics rotate by -40
set yrange [0:*]
set datafile separator "\\t"
plot for [i=2:{last}] "{data}" using i:xtic(1) title columnheader
"""


def stacked(path, title, unit, names, bars):
    """@bars: {a bar's name: numbers in the order of @names, from below}."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dat") as data:
        data.write("run\t" + "\t".join(names) + "\n")
        for key, numbers in bars.items():
            data.write(f'"{key}"\t' + "\t".join(str(max(number, 0))
                                                for number in numbers) + "\n")
        data.flush()
        script = SCRIPT.format(path=path, title=title, unit=unit, last=len(names) + 1,
                               data=data.name)
        try:
            subprocess.run(["gnuplot"], input=script, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise machine.Failed(f"no picture: {error}", "make deps") from error
