# SPDX-License-Identifier: GPL-2.0-only
"""Growth: how the pool's operations grow with it, in machines of several sizes.

The pool is half of the machine, whose memory hardly anybody touches: it may have more
than the host. Counts are instructions (one CPU, -icount: a nanosecond of guest time is
an instruction) for each block that an operation is about. The last column is by how much
that grows, for each doubling of the pool, from the smallest to the largest: 1.00x is
linear, 2.00x a square. --full takes larger machines.
"""

import argparse
import math

from benchlib import timeline
from benchlib.figures import GROWTH, INSTRUCTIONS, Figure, Goal, Table

KERNELS = ("normal",)
GROUPS = ("knobs", "boot", "scattered", "crowded")

# What is linear grows by no more for each doubling.
LINEAR = Goal("", lambda value: value.ratio <= 1.15, "MORE THAN LINEAR")

# A pool that counts as none, in MiB, and blocks in a GiB.
SMALL = 64
BLOCKS = 512

# From the reboot call until the kernel that follows has the blocks.
FREEZE, ADOPT = timeline.KERNEL[0][0], "reserve and adopt"
PHASES = (timeline.KERNEL[0], timeline.KERNEL[1], (ADOPT, "preserve: adopted"))


def figure(key, name, exact=True):
    return Figure(key, name, INSTRUCTIONS, exact, ratio=GROWTH, goal=LINEAR)


KNOB = figure("{key}", "{what}, a block")
PACK = figure("pack", "pack 32 MiB beside it, a block packed")
BOOT = figure("boot", "preserve_pool= at boot, a block")
# Differences of two boots, which are never quite the same.
FROZEN = figure("{group}_freeze", "freeze, a block more", False)
ADOPTED = figure("{group}_adopt", "reserve and adopt, a block more", False)
CROWDED = figure("pack_crowded", "pack blocks all of which are half used, a block")

KNOBS = (("grow", "grow"), ("lend", "lend"), ("take back", "take_back"),
         ("shrink", "shrink"), ("shrink, all of it lent", "shrink_lent"))


class Run:
    """Machines on one kernel."""

    def __init__(self, machine, kernel):
        self._machine, self._kernel = machine, kernel

    def vm(self, memory, pool, mib, part="", stages=2):
        name = f"{self._kernel} {memory} MiB, pool {pool}: {mib} {part}".strip()
        most = f"preserve_pool_max={mib}M"
        return self._machine.vm(
            name, "scale_bench", kernel=self._kernel, icount=True, stages=stages,
            memory=f"{memory}M", timeout=5000, append=f"preserve_pool={pool}M {most}",
            next_append=[most], args=f"{mib},{part}".strip(","),
            phases=PHASES if stages > 1 else ())


def growth(sizes, costs):
    """By doubling of the size."""
    known = [(size, max(cost, 1)) for size, cost in zip(sizes, costs)
             if cost is not None]
    (few, first), (many, last) = known[0], known[-1]
    return (last / first) ** (1 / math.log2(many / few))


def row(declared, sizes, costs, **words):
    return declared.of(*costs, ratio=growth(sizes, costs), **words)


def slopes(costs, blocks):
    """What a block more costs, from one size to the next: a boot has its own share."""
    yield None
    for i in range(1, len(costs)):
        yield (costs[i] - costs[i - 1]) / (blocks[i] - blocks[i - 1])


def knobs(run, sizes):
    """What is written into /sys, and packing beside so much idle memory."""
    got = [run.vm(gib * 1024, SMALL, gib * 512) for gib in sizes]
    blocks = [gib * BLOCKS // 2 - SMALL // 2 for gib in sizes]
    for what, key in KNOBS:
        yield row(KNOB, sizes, [m[key] / nr for m, nr in zip(got, blocks)], what=what,
                  key=key)
    yield row(PACK, sizes, [m["pack"] / m["packed_blocks"] for m in got])


def handover(group, sizes, runs, empty=()):
    """What freezing and adopting cost for each block more; @empty is taken off."""
    blocks = [got["handed_blocks"] for got in runs]
    for declared, phase in ((FROZEN, FREEZE), (ADOPTED, ADOPT)):
        costs = [got["phases"][phase] for got in runs]
        if empty:
            costs = [cost - none["phases"][phase] for cost, none in zip(costs, empty)]
        yield row(declared, sizes, list(slopes(costs, blocks)), group=group)


def boot(run, sizes):
    """A pool that is made at boot, and handed over as a whole."""
    without = [run.vm(gib * 1024, SMALL, gib * 512) for gib in sizes]
    whole = [run.vm(gib * 1024, gib * 512, gib * 512, "whole") for gib in sizes]
    yield row(BOOT, sizes, [(m["boot"] - w["boot"]) / m["pool_blocks"]
                            for m, w in zip(whole, without)])
    yield from handover("boot", sizes, whole, without)


def scattered(run, sizes):
    """Memory in MiB that is touched, so these machines are small."""
    yield from handover("scattered", sizes,
                        [run.vm(4096, mib, mib, "scattered") for mib in sizes])


def crowded(run, sizes):
    got = [run.vm(4096, mib, mib, "crowded", 1) for mib in sizes]
    yield row(CROWDED, sizes, [m["pack"] / m["pool_blocks"] for m in got])


def several(text):
    sizes = tuple(map(int, text.split(",")))
    if len(sizes) < 3:
        raise argparse.ArgumentTypeError("growth is between three sizes at least")
    return sizes


def arguments(parser):
    parser.add_argument("--sizes", metavar="GIB,...", type=several,
                        help="of the machines, for knobs and boot: three at least")
    parser.add_argument("--only", choices=GROUPS)
    parser.add_argument("--kernel", default="normal", help="normal, or an image")


def tables(machine, options):
    large = options.sizes or ((16, 32, 64, 128, 232) if options.full else
                              (4, 8, 16, 32, 64))
    run = Run(machine, options.kernel)
    for group, title, sizes in (
            (knobs, "machine of so many GiB, pool of half of it", large),
            (boot, "the same, over a boot and a kexec", large),
            (scattered, "each second block handed over, so many MiB",
             (128, 256, 512, 1024, 2048)),
            (crowded, "pool of so many MiB at its limit", (64, 128, 256, 512, 768))):
        if options.only in (None, group.__name__):
            yield Table(title, sizes, group(run, sizes), ratio="a doubling", goal="")
