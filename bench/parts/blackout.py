# SPDX-License-Identifier: GPL-2.0-only
"""A blackout: what it consists of, ours beside stock, for a sweep of sizes.

A blackout goes from the reboot call to the first byte read from a preserved file.
Its phases end where the kernel log and the program say so; the unit is a million
instructions, one CPU, -icount: a millisecond at 1 GHz and one instruction a cycle.

The unit tests that the kernel has built in do not run.

Then the database of the demo, SQLite in a memfd, small and large: its blackout goes
on until it has answered.

The projection to 1 TiB goes straight on from the two largest sizes, in the phases
that do something for each page or block that is preserved. Adoption by the pool is
part of the init calls, with much else, and is not in it.

--full takes larger sizes; the stock kernel needs long for them. The picture needs
gnuplot.
"""

from benchlib import machine as machines
from benchlib import picture, timeline
from benchlib.figures import (INSTRUCTIONS, MILLIONS, MORE, ROUND_MILLIONS, Figure, Table,
                              ratio_at_most)

KERNELS = ("normal", "stock")
IMAGES = {"ours": "normal", "stock": "stock"}

PHASES = timeline.KERNEL + (
    ("program", "retrieve_tsc"),
    ("retrieve", "retrieved_tsc"),
    ("first byte", "first_tsc"),
)

# Sizes in MiB whose blackouts are to be the same but for 5 %.
COMPARED = (64, 4096)

# Phases that do something for each page or block that is preserved.
OF_MEMORY = ("early set-up", "reserve", "struct pages", "retrieve")

LAYOUTS = {"dense": "4K folios, dense", "huge": "2M folios",
           "alternate": "4K folios, every second page"}

PHASE = Figure("phase {name}", "{name}", MILLIONS, False, "stock")
BLACKOUT = Figure("blackout", "from the reboot call to the first byte", ROUND_MILLIONS, False,
                  ratio=MORE, goal=ratio_at_most(5, " %"))
DATABASE = Figure("database", "the same of the demo's database, to its answer",
                  ROUND_MILLIONS, False, ratio=MORE, goal=ratio_at_most(5, " %"))
PROJECTED = Figure("projected {layout} {kernel}", "{what}, {kernel}", INSTRUCTIONS, False)


def pool_size(layout, mib):
    """In MiB: the file, the one it alternates with, and some more."""
    files = 2 if layout == "alternate" else 1
    return max(64, files * mib * 9 // 8)


def run(machine, kernel, layout, mib):
    """{phase: instructions}"""
    return machine.vm(
        f"{kernel} {layout} {mib} MiB", "restore_bench", needs=("first_tsc",),
        phases=PHASES, timeout=5000, kernel=IMAGES[kernel], icount=True, stages=2,
        memory="8G", append=f"preserve_pool={pool_size(layout, mib)}M",
        args=f"{layout},{mib},first")["phases"]


def sweep(full):
    """(layout, sizes in MiB for ours, for stock)"""
    yield ("dense", (1, 64, 256, 1024, 2048, 4096),
           (1, 256, 1024) + ((2048,) if full else ()))
    yield "huge", (256, 1024, 2048), (256, 1024)
    yield ("alternate", (64, 256, 1024) + ((2048,) if full else ()),
           (32, 64) + ((128, 256) if full else ()))


def measure(machine, full):
    """{run: {phase: instructions}}"""
    return {f"{kernel} {layout} {mib} MiB": run(machine, kernel, layout, mib)
            for layout, ours, stock in sweep(full)
            for kernel, sizes in (("ours", ours), ("stock", stock)) for mib in sizes}


def phase_rows(results):
    for name, _ in PHASES:
        yield PHASE.of(*(phases[name] for phases in results.values()), name=name)
    yield PHASE.of(*(sum(phases.values()) for phases in results.values()), name="all")


def compared_rows(machine, results):
    """A large one's blackout beside a small one's, in the same machine."""
    yield BLACKOUT.of(*(sum(results[f"ours dense {mib} MiB"].values())
                        for mib in COMPARED))
    yield DATABASE.of(*(
        machine.demo(f"demo {mib} MiB", memory="7G", size=mib)["first_query_s"] * 1e9
        for mib in COMPARED))


def slope(results, kernel, layout):
    """The two largest sizes, instructions a MiB between them, what grows most."""
    sizes = sorted(int(key.split()[2]) for key in results
                   if key.startswith(f"{kernel} {layout} "))[-2:]
    few, many = (results[f"{kernel} {layout} {size} MiB"] for size in sizes)
    growth = {name: many[name] - few[name] for name in OF_MEMORY}
    return (sizes, sum(growth.values()) / (sizes[1] - sizes[0]),
            max(growth, key=growth.get))


def projected_rows(results):
    """What 1 TiB adds to an empty handover."""
    for layout, what in LAYOUTS.items():
        for kernel in IMAGES:
            sizes, per_mib, what_grows = slope(results, kernel, layout)
            at = per_mib * 2**20 / 1e9
            # The stock kernel's cost of scattered pages goes with the square.
            if kernel == "stock" and layout == "alternate":
                at *= 2**20 / sum(sizes)
            yield PROJECTED.of(per_mib, at, what_grows, f"{sizes[0]}, {sizes[1]}",
                               shown=(f"{per_mib:,.0f}", f"{at:,.1f}"), layout=layout,
                               kernel=kernel, what=what)


def arguments(parser):
    parser.add_argument("--svg", metavar="FILE",
                        default=str(machines.RESULTS / "blackout.svg"))


def tables(machine, options):
    results = measure(machine, options.full)
    yield Table("million instructions", tuple(results), phase_rows(results),
                peers=tuple(key for key in results if key.startswith("stock")),
                ratio=None, goal=None)
    yield Table("blackout, million instructions", [f"{mib} MiB" for mib in COMPARED],
                compared_rows(machine, results), ratio="more")
    picture.stacked(options.svg, "From the reboot call to the first byte",
                    "million instructions", [name for name, _ in PHASES],
                    {key: [phases[name] / 1e6 for name, _ in PHASES]
                     for key, phases in results.items()})
    yield Table("projected to 1 TiB, at 1 GHz",
                ("instructions a MiB", "seconds", "mostly", "from, MiB"),
                projected_rows(results), ratio=None, goal=None,
                notes=("", f"the phases as a picture: {options.svg}"))
