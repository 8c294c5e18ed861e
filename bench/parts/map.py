# SPDX-License-Identifier: GPL-2.0-only
"""The preserve map, beside CRoaring and beside the KHO radix tree.

It runs on this machine, without a VM. Instructions are counted by callgrind, as the
difference to a run that sets nothing; a time is the best of several repeats.
"""

from benchlib import machine as machines
from benchlib import native
from benchlib.figures import (BYTES, INSTRUCTIONS, MICROSECONDS, Figure, Ratio, Table,
                              Unit)

KERNELS = ()
RATIO = Ratio(lambda ours, peer: ours / peer, "{:.2f}".format)
QUICKER = Ratio(lambda ours, peer: peer / ours, "{:.2f}x".format)
WHOLE = Ratio(lambda ours, peer: peer // ours, "{}x".format)

SIZE = Figure("size {pattern}", "{pattern}", Unit("bytes", str), True, "CRoaring", RATIO)
SPEED = Figure("{op}, {pattern}", "{pattern:<28} {op}", MICROSECONDS, False, "CRoaring",
               QUICKER)
SET = Figure("set_gib", "instructions to set one contiguous GiB", INSTRUCTIONS, True,
             "KHO radix", WHOLE)
LONE = Figure("lone", "bytes, 1,000 lone pages over 1 TiB", BYTES, True, "KHO radix")


def sizes(lines):
    for line in lines:
        if line["bench"] == "map-size":
            yield SIZE.of(line["bytes"], line["page_bytes"], line["croaring"],
                          pattern=line["pattern"])


def speeds(lines):
    for line in lines:
        if line["bench"] == "map-speed":
            yield SPEED.of(line["us"], line["croaring_us"], pattern=line["pattern"],
                           op=line["op"])


def set_gib(program):
    """The instructions of setting, without those of starting."""
    return native.instructions(program, "gib") - native.instructions(program, "empty")


def kho(lines):
    yield SET.of(set_gib("map_bench"), set_gib("kho_bench"))
    lone = next(line["bytes"] for line in lines if line["bench"] == "map-size" and
                "lone" in line["pattern"])
    theirs = machines.output(native.PROGRAMS / "kho_bench", "lone")[0]
    yield LONE.of(lone, int(theirs))


def tables(machine, _options):
    native.build()
    lines = native.lines("map_bench")
    machine.runs["map_bench"] = lines
    yield Table("size in bytes", ("map", "whole pages", "CRoaring"), sizes(lines),
                peers=("CRoaring",), goal=None)
    yield Table("microseconds for all", ("map", "CRoaring"), speeds(lines),
                peers=("CRoaring",), ratio="map is", goal=None)
    yield Table("the map beside KHO's tree", ("map", "KHO radix"), kho(lines),
                peers=("KHO radix",), ratio="map is", goal=None)
