# SPDX-License-Identifier: GPL-2.0-only
"""Guests: what it costs to carry guest_memfd over a kexec, and what a guest notices.

The guest is that of the tests, on KVM by the emulated machine's SVM. The peer of preserve and
retrieve is the stock kernel with a plain memfd: it has nothing for guest_memfd. Counts are
instructions: one CPU, -icount; waiting counts as well.
"""

from benchlib.figures import (BYTES, INSTRUCTIONS, LESS, MILLIONS, MORE, TIMES, Figure, Table,
                              beside, ratio_at_most, times_less, value_at_most)

KERNELS = ("normal", "stock")
SIZES = (64, 4096)
PHASES = (("save the state", "reboot_tsc"), ("kexec", "up_tsc"), ("retrieve", "retrieved_tsc"),
          ("attach, load, first word", "first_tsc"))
# A piece of the map; see <linux/preserve_radix.h>.
PIECE = 8

FILE = Figure("file", "preserve and retrieve 1 GiB in 4K pages, instructions", INSTRUCTIONS,
              False, "stock", LESS, times_less(200))
METADATA = Figure("metadata", "  bytes for it in the file map, beside the map's first page",
                  BYTES, True, goal=value_at_most(64))
TOUCH = Figure("touch", "a guest's first access to a page: one that has crossed, beside a hole",
               INSTRUCTIONS, False, "hole", TIMES, ratio_at_most(1))
AGAIN = Figure("again", "  a page that is there", INSTRUCTIONS, False)
FIRST = Figure("first", "a guest's first round over 64 MiB: without the flag, with it", MILLIONS,
               False, ratio=MORE, goal=ratio_at_most(1, " %"))
ROUND = Figure("round", "  a further round", MILLIONS, False, ratio=MORE,
                goal=ratio_at_most(1, " %"))
PAUSE = Figure("pause", "from stop to the guest's next word", MILLIONS, False,
               ratio=MORE, goal=ratio_at_most(5, " %"))
PHASE = Figure("phase {name}", "    {name}", MILLIONS, False, ratio=MORE)


def run(machine, name, args, kernel="normal", **words):
    words = {"memory": "4G", "append": "preserve_pool=256M", "stages": 2} | words
    return machine.vm(name, "gmem_bench", kernel=kernel, icount=True, args=args, timeout=0,
                      **words)


def cost_rows(machine):
    ours, stock = (run(machine, f"1 GiB, {kernel}", "file", kernel) for kernel in KERNELS)
    yield FILE.of(*(got["preserve"] + got["retrieve"] for got in (ours, stock)))
    yield METADATA.of(PIECE * ours["runs"])
    touch = run(machine, "first access", "touch")
    yield TOUCH.of(touch["crossed"], touch["hole"])
    yield AGAIN.of(touch["present"])


def run_rows(machine):
    both = [run(machine, f"guest {words}", words, stages=1) for words in ("run", "run,flag")]
    yield FIRST.of(*(got["first"] for got in both))
    yield ROUND.of(*(got["round"] for got in both))


def pause_rows(machine):
    both = [run(machine, f"pause {mib}", f"pause,{mib}", memory="8G",
                append="preserve_pool=4400M") for mib in SIZES]
    yield PAUSE.of(*(got["first_tsc"] - got["stop_tsc"] for got in both))
    begin = "stop_tsc"
    for name, end in PHASES:
        yield PHASE.of(*(got[end] - got[begin] for got in both), name=name)
        begin = end


def tables(machine, _options):
    yield beside("guest_memfd, in the VM", cost_rows(machine), ("ours", "beside"))
    yield Table("a running guest, million instructions",
                {"small": "no flag", "large": "flag"}, run_rows(machine), ratio="more")
    yield Table("a guest's pause, million instructions",
                dict(zip(("small", "large"), (f"{mib:,} MiB" for mib in SIZES))),
                pause_rows(machine), ratio="more")
