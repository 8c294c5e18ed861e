# SPDX-License-Identifier: GPL-2.0-only
"""Trees: what a tmpfs tree costs that crosses a kexec, beside tar.

Beside it: the same tree in a tar archive in a preserved memfd, put there and taken out
again; what can be seen of it before and after; and a small tree beside a large one.
The tree is a part of the kernel source; --full takes all of it, with a VM of 9 GiB.
Times are those of the guest, and compared within one run; counts are instructions (one
CPU, -icount).
"""

from benchlib import machine as machines
from benchlib.figures import (FASTER, INSTRUCTIONS, MILLISECONDS, NUMBER, SAME, TIMES, Figure,
                              Goal, Unit, beside, ratio_at_most, value_at_most)

KERNELS = ("normal",)
PART = ("fs", "mm", "kernel", "lib", "include/linux")


def faster(limit):
    return Goal(f"{limit}x faster", lambda value: value.peer >= limit * value.ours)


FIRST = Figure("first_{many}", "retrieve {many:,} files until the first is open, beside {few}",
               INSTRUCTIONS, True, "a small tree", TIMES, ratio_at_most(2))
SAVE = Figure("save_one", "  save, instructions for one more file", INSTRUCTIONS, True)
LOOK = Figure("look_one", "  look at all names, for one more", INSTRUCTIONS, True)
SOURCE = Figure("source", "{what} the kernel source", NUMBER, True, better="")
CONTENT = Figure("same", "  names, attributes and content", SAME, True,
                 goal=Goal("the same", lambda value: value.ours))
WHOLE = Figure("save_restore", "save and restore it, beside tar", MILLISECONDS, False, "tar",
               FASTER, faster(50))
RESTORE = Figure("restore", "restore inside the blackout", MILLISECONDS, False, "tar", FASTER,
                 faster(200))
OPEN = Figure("until_open", "  until the first file is open", MILLISECONDS, False)
LOOKED = Figure("until_looked", "  and all names have been looked at", MILLISECONDS, False)
METADATA = Figure("metadata", "metadata for an inode, beside its name",
                  Unit("bytes", "{:.1f} bytes".format), True,
                  goal=value_at_most(64, "64 bytes"))


def vm(machine, name, words, memory, **fields):
    return machine.vm(name, "tree_bench", needs=("first",), stages=2, memory=memory,
                      args=words, **fields)


def pack(full):
    """An archive of the kernel source, for the guest to start from."""
    archive = machines.PROGRAMS / "tree.tar"
    source = machines.output(machines.TOP / "scripts/fetch-linux")[0].strip()
    machines.output("tar", "--format=gnu", "-cf", archive, "-C", source,
                    *(["."] if full else PART))
    return str(archive)


def cross_tar(machine, full):
    # The tree, the archive and what comes out of it are in the pool together.
    memory, most = ("9G", "7G") if full else ("2500M", "2G")
    return vm(machine, "kernel source", "tar", memory, disk=pack(full),
              append=f"preserve_pool_max={most}", program_file=["/bin/tar:bin/tar"])


def beside_tar(machine, full):
    got = cross_tar(machine, full)
    inodes, data = got["inodes"], got["data"]
    yield SOURCE.of(inodes, data, shown=(f"{inodes:,} inodes", f"{data >> 20:,} MiB"),
                    what="all of" if full else "a part of")
    yield CONTENT.of(got["manifest_before"] == got["manifest_after"])
    yield WHOLE.of(got["save"] + got["retrieve"],
                   got["tar_save"] + got["tar_preserve"] + got["tar_restore"])
    yield RESTORE.of(got["retrieve"], got["tar_restore"])
    yield OPEN.of(got["first"])
    yield LOOKED.of(got["look"])
    yield METADATA.of((got["image"] - got["names"]) / inodes)


def scale(machine, full):
    sizes = (100, 100000 if full else 20000)
    few, many = (vm(machine, f"{n} files", f"scale,{n}", "2G" if full else "1G", icount=True)
                 for n in sizes)
    yield FIRST.of(many["first"], few["first"], few=sizes[0], many=sizes[1])
    more = sizes[1] - sizes[0]
    yield SAVE.of((many["save"] - few["save"]) / more)
    yield LOOK.of((many["look"] - few["look"]) / more)


def rows(machine, full):
    yield from scale(machine, full)
    yield from beside_tar(machine, full)


def tables(machine, options):
    yield beside("tmpfs trees", rows(machine, options.full), ("ours", "peer"))
