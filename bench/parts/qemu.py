# SPDX-License-Identifier: GPL-2.0-only
"""QEMU: how long a guest stands still for a kexec of its host, small and large.

Its memory is a file of a hugetlbfs that is preserved, its other state is saved to a tmpfs that
is preserved; QEMU is the distribution's, and KVM's guest is one of the emulated machine. Both
sizes have the same number of huge pages at boot. Counts are millions of instructions: one CPU,
-icount; waiting counts as well.
"""

from benchlib.figures import MILLIONS, MORE, Figure, Table, ratio_at_most

KERNELS = ("normal",)
LIBRARY = "/usr/lib/x86_64-linux-gnu/qemu"
PROGRAMS = ["/usr/bin/qemu-system-x86_64", f"{LIBRARY}/accel-tcg-x86_64.so", "/bin/cat"]
FILES = ["/bin/dash:/bin/sh"] + [f"{path}:{path}" for path in (
    "/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin")]
SIZES = (64, 4096)
# (phase, the metric that ends it); the first begins with stop_tsc.
PHASES = (("save the state", "saved_tsc"), ("preserve", "reboot_tsc"), ("kexec", "up_tsc"),
          ("retrieve, attach", "attached_tsc"), ("start QEMU", "started_tsc"),
          ("load, first word", "first_tsc"))


def figure(key, name, goal=None):
    return Figure(key, name, MILLIONS, False, ratio=MORE, goal=goal)


PAUSE = figure("pause", "from stop to the guest's next word", ratio_at_most(5, " %"))
PHASE = figure("phase {name}", "    {name}")


def run(machine, mib):
    return machine.vm(f"{mib} MiB", "qemu_bench", icount=True, stages=2, memory="7G",
                      append="preserve_pool=64M hugepages=2100", args=str(mib),
                      program_file=PROGRAMS, file=FILES)


def rows(both):
    yield PAUSE.of(*(got["first_tsc"] - got["stop_tsc"] for got in both))
    begin = "stop_tsc"
    for name, end in PHASES:
        yield PHASE.of(*(got[end] - got[begin] for got in both), name=name)
        begin = end


def tables(machine, options):
    both = [run(machine, mib) for mib in SIZES]
    yield Table("a guest's pause, million instructions",
                dict(zip(("small", "large"), (f"{mib:,} MiB" for mib in SIZES))), rows(both),
                ratio="more")
