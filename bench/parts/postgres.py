# SPDX-License-Identifier: GPL-2.0-only
"""PostgreSQL: what a kexec costs a server, with a small and a large database.

The data directory lies on a tmpfs that is preserved; the server, the distribution's,
is shut down before the reboot call, and is started and asked for a row after it. The
phases in between end where the kernel log and the program say so. Beside it: a restart
without a kexec, and the database from a dump: pg_dump before, psql after, which come
on top of a kexec. Counts are millions of instructions: one CPU, -icount.

The databases are pgbench's. --full takes the large sizes.
"""

from benchlib import timeline
from benchlib.figures import (MIB, MILLIONS, MORE, Figure, Table, Unit, ratio_at_most)

KERNELS = ("normal",)
LIBRARY = "/usr/lib/postgresql/*"
PROGRAMS = [f"{LIBRARY}/bin/{name}" for name
            in ("postgres", "psql", "pgbench", "pg_dump")]
PROGRAMS += [f"{LIBRARY}/lib/plpgsql.so", "/bin/cp"]
DIRECTORIES = ["postgres-data:/postgres-data", "/usr/share/postgresql/*/timezonesets"]
PHASES = timeline.KERNEL + (
    ("init", "up_tsc"),
    ("retrieve, attach", "attached_tsc"),
    ("server", "ready_tsc"),
    ("first query", "first_tsc"),
)
MIB_A_SCALE = 15


def figure(key, name, exact=True, goal=None):
    return Figure(key, name, MILLIONS, exact, ratio=MORE, goal=goal)


BLACKOUT = figure("all", "from the reboot call to the first answer", False,
                  ratio_at_most(5, " %"))
SERVER = figure("server", "  the server's part of it")
PHASE = figure("phase {name}", "    {name}", False)
STOP = figure("stop", "restart without a kexec: until it is down")
START = figure("start", "  from the start to the first answer")
DUMP = figure("dump", "from a dump: pg_dump before")
RESTORE = figure("restore", "  psql after")
BOTH = figure("both", "  both, on top of the kexec")
BESIDE = Figure("beside", "  the first answer of a kexec that way, beside ours",
                Unit("times", "{:,.1f}x".format), False, better="more")


def run(machine, mib):
    got = machine.vm(f"{mib} MiB", "postgres_bench", phases=PHASES, icount=True, stages=2,
                     memory="5G", append=f"preserve_pool={2 * mib + 128}M",
                     args=str(round(mib / MIB_A_SCALE)), program_file=PROGRAMS,
                     directory=DIRECTORIES)
    got["all"] = sum(got["phases"].values())
    return got


def rows(both):
    yield BLACKOUT.of(*(got["all"] for got in both))
    yield SERVER.of(*(got["phases"]["server"] + got["phases"]["first query"]
                      for got in both))
    for name, _ in PHASES:
        yield PHASE.of(*(got["phases"][name] for got in both), name=name)
    for declared, metric in ((STOP, "stop"), (START, "start"), (DUMP, "dump"),
                             (RESTORE, "restore")):
        yield declared.of(*(got[metric] for got in both))
    yield BOTH.of(*(got["dump"] + got["restore"] for got in both))
    yield BESIDE.of(*((got["all"] + got["restore"]) / got["all"] for got in both))


def tables(machine, options):
    both = [run(machine, mib) for mib in ((64, 1024) if options.full else (16, 128))]
    sizes = (f"{got['database'] / MIB:,.0f} MiB" for got in both)
    yield Table(f"PostgreSQL {both[0]['version'] // 10000}, million instructions",
                dict(zip(("small", "large"), sizes)), rows(both), ratio="more")
