# SPDX-License-Identifier: GPL-2.0-only
"""Files in huge pages that are preserved where they are.

Counts are instructions: one CPU, -icount, where a tick of the time stamp counter is an
instruction. Stock Linux preserves none, so what stands beside a figure is a boot with nothing
handed over. Clearing pages is no part of any figure. --full takes 8 GiB.
"""

from benchlib.figures import (INSTRUCTIONS, MILLIONS, MORE, Figure, beside, ratio_at_most,
                              value_at_most)

KERNELS = ("normal",)

PRESERVE = Figure("preserve", "preserve {mib} MiB in 2 MiB pages, a page", INSTRUCTIONS, True,
                  goal=value_at_most(60))
PLAIN = Figure("preserve_plain", "the same without MFD_PRESERVE", INSTRUCTIONS, True)
RETRIEVE = Figure("retrieve", "retrieve it, a page", INSTRUCTIONS, True, goal=value_at_most(60))
TOUCH = Figure("touch", "read a byte of each page after that, a page", INSTRUCTIONS, True)
RUNS = Figure("runs", "runs of its map", INSTRUCTIONS, True)
BOOT = Figure("boot", "boot with it handed over, beside one with nothing", MILLIONS, False,
              "nothing", MORE, ratio_at_most(2, " % more"))
GIANT = Figure("giant", "preserve and retrieve {nr} pages of 1 GiB, a page", INSTRUCTIONS, True,
               goal=value_at_most(20000))


def vm(machine, name, size, nr, memory, words, plain=""):
    got = machine.vm(name, "huge_bench", stages=2, memory=memory, icount=True, kernel="normal",
                     args=f"{size},{nr}{plain}", append=f"preserve_pool=16M {words}")
    got["boot"] = got["up_tsc"] - got["reboot_tsc"]
    return got


def rows(machine, full):
    mib = 8192 if full else 1024
    memory, words, nr = f"{mib // 1024 + 2}G", f"hugepages={mib // 2 + 8}", mib // 2
    got = vm(machine, f"{mib} MiB", 2, nr, memory, words)
    plain = vm(machine, f"{mib} MiB, plain", 2, nr, memory, words, ",plain")
    none = vm(machine, "nothing", 2, 0, memory, words)
    yield PRESERVE.of(got["preserve"] / nr, mib=mib)
    yield PLAIN.of(plain["preserve"] / nr)
    yield RETRIEVE.of(got["retrieve"] / nr)
    yield TOUCH.of(got["touch"] / nr)
    yield RUNS.of(got["runs"])
    yield BOOT.of(got["boot"], none["boot"])
    nr = 8
    giant = vm(machine, f"{nr} GiB in pages of 1 GiB", 1024, nr, f"{nr + 3}G",
               f"hugepagesz=1G hugepages={nr}")
    yield GIANT.of((giant["preserve"] + giant["retrieve"]) / nr, nr=nr)


def tables(machine, options):
    yield beside("files in huge pages, over a kexec", rows(machine, options.full))
