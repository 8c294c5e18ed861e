# SPDX-License-Identifier: GPL-2.0-only
"""The pool, beside the stock kernel or a peer.

Counts are instructions (one CPU, -icount: a nanosecond of guest time is an instruction)
where the table does not say time. --full takes the large sizes.
"""

import re

from benchlib.figures import (INSTRUCTIONS, LESS, NANOSECONDS, NUMBER,
                              PERCENT, SHARE, TENTH_SHARE, TIMES, TRUTH, YES, Figure, Goal,
                              Unit, beside, ratio_at_least, ratio_at_most,
                              times_less)

KERNELS = ("normal", "stock")
ENOUGH = ratio_at_most(1.05)
KEPT = "preserve_pool=1200M"

ALLOC = Figure("alloc_free", "allocate and free an order-0 folio, beside folio_alloc()",
               INSTRUCTIONS, True, "folio_alloc()", TIMES, ENOUGH)
FAULT = Figure("fault_{folios}", "fault in {mib} MiB, {folios} folios, a page", INSTRUCTIONS,
               True, "stock", TIMES, ENOUGH)
FAULT_LENT = Figure("fault_lent_{folios}", "  from memory that was lent", INSTRUCTIONS,
                    True, "stock", TIMES, ENOUGH)
FAULT_TIME = Figure("fault_time_{folios}", "the same by 4 CPUs, {folios} folios, ns (time)",
                    NANOSECONDS, False, "stock", TIMES, ENOUGH)
GROW = Figure("grow_{pages}", "grow by 512 MiB, 2/3 full, 2 % pinned ({text})", NUMBER, True,
              ratio=SHARE, goal=ratio_at_least(95, " %"), better="more")
GROW_INTACT = Figure("grow_intact_{pages}", "  memory intact", TRUTH, True, goal=YES)
EVACUATE = Figure("evacuate", "evacuate 1 GiB, two thirds in use, beside "
                  "alloc_contig_pages()", INSTRUCTIONS, True, "alloc_contig_pages()", TIMES,
                  ratio_at_most(1.2))
MOVED = Figure("evacuate_moved", "  pages moved for it", NUMBER, True,
               "alloc_contig_pages()")
FILLED = Figure("filled_{when}", "a million random steps, {when}: blocks in use are filled",
                PERCENT, False, better="more",
                goal=Goal("90 % or more", lambda value: value.ours >= 90))
RUNS = Figure("runs_{when}", "  runs of a contiguous stretch",
              Unit("runs", "{:.3f}".format), False,
              goal=Goal("1.1 or less", lambda value: value.ours <= 1.1))
FILES = Figure("churn_intact", "  files intact", TRUTH, True, goal=YES)
LENT = Figure("lent", "idle pool memory that others can use, of 512 MiB",
              Unit("bytes", lambda value: f"{int(value) >> 20} MiB"), False, "no pool",
              TENTH_SHARE, ratio_at_least(95, " %"), better="more")
PLAIN = Figure("plain", "a plain memfd, {mib} MiB in alternate pages, over a kexec",
               INSTRUCTIONS, False, "stock", LESS, times_less(10, " (256 MiB)"))


def vm(machine, kernel, *words, **fields):
    """The run counts whatever it came to: some peers cannot do it all."""
    name = " ".join(map(str, (kernel, *words, *(
        f"{key}={value}" for key, value in fields.items()))))
    return machine.vm(name, "pool_bench", needs=(), kernel=kernel,
                      args=",".join(map(str, words)), **fields)


def alloc(machine, _full):
    """The unit tests print it at boot."""
    run = machine.vm("alloc", "kunit", needs=(), icount=True, timeout=300,
                     append="preserve_pool=64M kunit.enable=1")
    log = run.log.read_text(errors="replace")
    for name in ("pool_alloc_free", "folio_alloc_free"):
        said = re.search(rf"bench: {name} (\d+)", log)
        if said:
            run[name] = int(said[1])
    yield ALLOC.of(run["pool_alloc_free"], run["folio_alloc_free"])


def faults(machine, full):
    mib = 1024 if full else 256
    words = ["faults", 1, 1, mib]
    stock = vm(machine, "stock", *words, memory="4G", icount=True)
    kept = vm(machine, "normal", *words, "kept", memory="4G", icount=True, append=KEPT)
    lent = vm(machine, "normal", *words, memory="4G", icount=True, append=KEPT)
    for metric, folios in (("fault_4k", "4K"), ("fault_2m", "2M")):
        yield FAULT.of(kept[metric], stock[metric], mib=mib, folios=folios)
        yield FAULT_LENT.of(lent[metric], stock[metric], folios=folios)


def threads(machine, full):
    words = ["faults", 4, 5, 1024 if full else 256]
    stock = vm(machine, "stock", *words, memory="4G", cpus=4)
    ours = vm(machine, "normal", *words, "kept", memory="4G", cpus=4, append=KEPT)
    for metric, folios in (("fault_4k", "4K"), ("fault_2m", "2M")):
        yield FAULT_TIME.of(ours[metric], stock[metric], folios=folios)


def grow(machine, _full):
    for pages, text in ((1, "single"), (512, "clusters of 512")):
        got = vm(machine, "normal", "grow", pages, memory="2G", icount=True)
        tried = got["evacuate_tried"] - got["evacuate_pinned"] - got["evacuate_unmovable"]
        want = min(256, tried)
        blocks, pinned = got["grow_blocks"], got["evacuate_pinned"]
        yield GROW.of(blocks, pinned, ratio=100 * blocks / want if want else 100,
                      shown=(f"{blocks} of {want}", f"{pinned} pinned"), pages=pages,
                      text=text)
        yield GROW_INTACT.of(bool(got["intact"]), pages=pages)


def evacuated(got):
    """Instructions, if it was all of it."""
    good = got["evacuate_bytes"] >= 1 << 30 and got["intact"]
    return got["evacuate_ns"] if good else "failed"


def evacuate(machine, _full):
    both = [vm(machine, "normal", "evacuate", peer, memory="6G", icount=True)
            for peer in ("pool", "contig")]
    yield EVACUATE.of(*map(evacuated, both))
    yield MOVED.of(*(got["evacuate_moved"] for got in both))


def churn(machine, _full):
    got = vm(machine, "normal", "churn", 1000000, memory="2G")
    for when in ("churned", "packed"):
        packed = when == "packed"
        yield FILLED.of(100 * got[f"{when}_used"] / got[f"{when}_blocks"], judged=packed,
                        when=when)
        yield RUNS.of(got[f"{when}_runs"] / got[f"{when}_stretches"], judged=packed,
                      when=when)
    yield FILES.of(bool(got["intact"]))


def lend(machine, _full):
    """What others can allocate with an idle pool, and with none."""
    with_pool, without = (vm(machine, "normal", "lend", memory="1536M", cpus=1, append=words)
                          for words in ("preserve_pool=512M", "preserve_pool_max=0"))
    lost = without["used_by_others"] - with_pool["used_by_others"]
    yield LENT.of(with_pool["used_by_others"], without["used_by_others"],
                  ratio=100 * (1 - max(0, lost) / with_pool["idle"]))


def cross(machine, kernel, mib):
    """Instructions of preserving, booting and retrieving."""
    got = vm(machine, kernel, "plain", mib, memory="2G", stages=2, icount=True)
    got["boot"] = got["up_tsc"] - got["reboot_tsc"]
    return got


def plain(machine, full):
    mib = 256 if full else 64
    total = []
    for kernel in ("stock", "normal"):
        empty, filled = cross(machine, kernel, 0), cross(machine, kernel, mib)
        total.insert(0, filled["preserve_ns"] + filled["retrieve_ns"] +
                     max(0, filled["boot"] - empty["boot"]))
    yield PLAIN.of(*total, judged=full, mib=mib)


GROUPS = {group.__name__: group for group in
          (alloc, faults, threads, grow, evacuate, churn, lend, plain)}


def arguments(parser):
    parser.add_argument("--only", choices=GROUPS)


def rows(machine, only, full):
    for name, group in GROUPS.items():
        if only in (None, name):
            yield from group(machine, full)


def tables(machine, options):
    yield beside("the pool", rows(machine, options.only, options.full))
