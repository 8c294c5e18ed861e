# SPDX-License-Identifier: GPL-2.0-only
"""A kexec with memory preserved: what it costs, ours beside stock.

Counts are instructions: one CPU, -icount, where a tick of the time stamp counter is an
instruction. Restore in the background is measured in time. --full takes the large sizes;
the stock kernel needs long for them.
"""

from benchlib.figures import (INSTRUCTIONS, LESS, SECONDS, TIMES, Figure, Goal, beside,
                              times_less, value_at_most)

KERNELS = ("normal", "stock")

# Below zero: what a boot costs differs by more from one to the next.
BOOT = Figure("extra_boot", "extra boot, {mib} MiB in alternate pages", INSTRUCTIONS, False,
              "stock", LESS, times_less(250))
RETRIEVE = Figure("retrieve_dense", "retrieve, {mib} MiB dense", INSTRUCTIONS, True, "stock",
                  LESS, times_less(1000, " (1 GiB)"))
PRESERVE = Figure("preserve_dense", "preserve it", INSTRUCTIONS, True, "stock", LESS)
TOUCH = Figure("touch", "first touch of a page after that, beside a fresh one's",
               INSTRUCTIONS, True, "a fresh file", TIMES,
               Goal("1x or less", lambda value: value.ours <= value.peer))
ALL = Figure("retrieve_touch", "retrieve and touch all of it", INSTRUCTIONS, True, "stock",
             LESS, Goal("less than stock", lambda value: value.ours < value.peer))
HOLES = Figure("retrieve_holes", "retrieve, every second page of {mib} MiB", INSTRUCTIONS,
               True, "stock", LESS, times_less(20))
EXTENT = Figure("retrieve_extent", "  an extent", INSTRUCTIONS, True, "stock",
                goal=value_at_most(200))
BACKGROUND = Figure("background", "restore in the background, seconds: 2 CPUs, 1 CPU",
                    SECONDS, False, "1 CPU", LESS, times_less(1.7))


def vm(machine, name, args, mib, words="", **fields):
    """The metrics of one run; words are more for the kernel's command line."""
    return machine.vm(f"{name} MiB", "restore_bench", stages=2, memory="4G", args=args,
                      append=f"preserve_pool={max(64, mib * 5 // 2)}M {words}", **fields)


def run(machine, layout, mib):
    """Ours and stock, in instructions; boot is from the end of one program to the next."""
    for kernel in KERNELS:
        got = vm(machine, f"{kernel} {layout} {mib}", f"{layout},{mib}", mib, kernel=kernel,
                 icount=True)
        got["boot"] = got["up_tsc"] - got["reboot_tsc"]
        yield got


def background(machine, mib):
    """The workers' seconds with two CPUs and with one: the best of some runs, for
    others use the host as well. Atomic operations are cheaper to emulate in a machine
    that has one CPU only: it has two, and the kernel uses one."""
    for cpus in (2, 1):
        yield min(vm(machine, f"background, CPUs: {cpus}, run {i}: {mib}",
                     f"dense,{mib},background", mib, cpus=2,
                     words=f"maxcpus={cpus}")["background"]
                  for i in range(5)) / 1e9


def boot(machine, empty, mib):
    got = run(machine, "alternate", mib)
    yield BOOT.of(*(some["boot"] - none["boot"] for some, none in zip(got, empty)), mib=mib)


def dense(machine, mib, full):
    got = ours, stock = list(run(machine, "dense", mib))
    pages = mib * 256
    yield RETRIEVE.of(ours["retrieve"], stock["retrieve"], judged=full, mib=mib)
    yield PRESERVE.of(ours["preserve"], stock["preserve"])
    yield TOUCH.of(ours["touch"] / pages, ours["fresh"] / pages)
    yield ALL.of(*(m["retrieve"] + m["touch"] for m in got))


def holes(machine, mib):
    got = list(run(machine, "holes", mib))
    yield HOLES.of(*(m["retrieve"] for m in got), mib=2 * mib)
    yield EXTENT.of(*(m["retrieve"] / (mib * 256) for m in got))


def rows(machine, full):
    empty = list(run(machine, "dense", 1))
    yield from boot(machine, empty, 256 if full else 64)
    yield from dense(machine, 1024 if full else 256, full)
    yield from holes(machine, 512 if full else 64)
    yield BACKGROUND.of(*background(machine, 1024 if full else 512))


def tables(machine, options):
    yield beside("over a kexec, instructions", rows(machine, options.full))
