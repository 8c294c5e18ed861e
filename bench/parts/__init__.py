# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: a file for each part.

A part has a docstring whose first line says what it is about, KERNELS, the images that it
needs, its figures.Figure objects, and tables(machine, options), which yields figures.Table
objects; their rows may be measured while they are read. arguments(parser), if it has one,
adds options of its own. It prints nothing and knows nothing of QEMU.
"""

import importlib

from benchlib import figures

# In the order in which bench/report runs them.
NAMES = ("map", "memfd", "huge", "pool", "scale", "restore", "blackout", "tree", "postgres",
         "qemu", "gmem")


def load(name):
    return importlib.import_module(f"parts.{name}")


def title(part):
    return part.__doc__.splitlines()[0].rstrip(".")


def declared(part):
    """The figures of a part, in the order of the file."""
    return [value for value in vars(part).values() if isinstance(value, figures.Figure)]
