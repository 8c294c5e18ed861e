# SPDX-License-Identifier: GPL-2.0-only
"""Memfds: what it costs to preserve and to retrieve one, ours beside stock.

Counts are instructions: one CPU, -icount, where a nanosecond of guest time is an
instruction.
"""

import os

from benchlib.figures import INSTRUCTIONS, LESS, MIB, TENTHS, Figure, Unit, beside

KERNELS = ("normal", "stock")

# The stock kernel warns when asked for the sparse file: a result, no failure.
EXPECTED = {"stock": ["WARNING: .* at __kvmalloc_node_noprof", "Call Trace:"]}

PRESERVE = Figure("preserve_page", "preserve 64 MiB of 4K pages, instructions a page",
                  TENTHS, True, "stock", LESS)
RETRIEVE = Figure("retrieve_page", "retrieve it, instructions a page", TENTHS, True,
                  "stock", LESS)
HOLES = Figure("preserve_holes", "preserve 1 GiB with two pages of data, instructions",
               INSTRUCTIONS, True, "stock", LESS)
MEMORY = Figure("holes_memory", "  memory that allocates, MiB",
                Unit("bytes", lambda value: f"{value / MIB:.0f}"), True, "stock")
SPARSE = Figure("preserve_sparse", "preserve 1 TiB with ten pages of data, instructions",
                INSTRUCTIONS, True, "stock")


def run(machine, kernel):
    return machine.vm(kernel, "memfd_bench", needs=("populated.retrieve_ns",),
                      kernel=kernel, icount=True, stages=2, memory="4G",
                      append="preserve_pool=256M", timeout=0,
                      expect=EXPECTED.get(kernel, []))


def outcome(got, name):
    """Instructions, or the error that ended it."""
    err = got[f"{name}.preserve_errno"]
    return os.strerror(err) if err else got[f"{name}.preserve_ns"]


def rows(runs):
    pages = runs[0]["populated.pages"]
    yield PRESERVE.of(*(got["populated.preserve_ns"] / pages for got in runs))
    yield RETRIEVE.of(*(got["populated.retrieve_ns"] / pages for got in runs))
    yield HOLES.of(*(outcome(got, "holes") for got in runs))
    yield MEMORY.of(*(got["holes.preserve_bytes"] for got in runs))
    yield SPARSE.of(*(outcome(got, "sparse") for got in runs))


def tables(machine, _options):
    yield beside("memfd, in the VM", rows([run(machine, kernel) for kernel in KERNELS]),
                 ("ours", "stock 7.3"), ratio="", goal=None)
