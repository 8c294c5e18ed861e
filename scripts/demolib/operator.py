# SPDX-License-Identifier: GPL-2.0-only
"""The third act: what an operator types, and what preservectl answers."""

import shutil

from vmlib import runner, table

from . import cache, screen

PROGRAM = runner.TOP / "tools/demo/operator"
PRESERVECTL = runner.BUILD / "tools/preservectl"
# What PROGRAM calls.
PROGRAMS = ("awk", "bash", "cat", "cp", "cut", "date", "diff", "find", "grep", "ip", "ln",
            "memcached", "mkdir", "sed", "sha256sum", "sleep", "sort", "sqlite3", "stat",
            "tee", "wc", "xargs")
# Begin the lines that are not for the person, or that the screen knows.
WORDS = {"SHOW", "MARK", "METRIC", "CHECKSUM", "STAGE", "EXIT", "VERDICT"}
WIDTH = 96


def _program_files():
    found = {name: shutil.which(name) for name in PROGRAMS}
    missing = [name for name, path in found.items() if not path]
    if missing:
        screen.die(f"this machine has no program {missing[0]}", "scripts/deps")
    return [f"{PRESERVECTL}:bin/preservectl",
            *(f"{path}:bin/{name}" for name, path in found.items())]


class _Terminal(screen.Screen):
    """Shows what the commands print as a terminal does."""

    def line(self, text, when):
        if text.split(" ")[0] not in WORDS:
            # Progress is written over.
            text = text.rpartition("\r")[2].removeprefix("\033[K")
            if len(text) > WIDTH:
                text = text[:WIDTH - 4] + " ..."
            text = f"SHOW   {text}"
        super().line(text, when)


def _rows(metrics, sums):
    """The table's: what, carried over, loaded again."""
    def number(what, key):
        return what, f"{metrics[key + '_after']:.0f}", f"{metrics[key + '_again']:.0f}"

    outage, load, restore = (metrics[key] for key in ("outage_s", "load_s", "restore_s"))
    return [("", "carried over", "loaded again"),
            number("items in memcached", "items"),
            number("rows in the database", "rows"),
            number("files in /dev/shm", "files"),
            ("MiB preserved", f"{metrics['bytes'] / (1 << 20):.1f}", ""),
            ("checksum before", sums["before"], ""),
            ("checksum after", sums["after"], sums["again"]),
            ("time to restore", f"{restore:.2f} s", "-"),
            ("time to load", "0 s", f"{load:.2f} s"),
            ("service stop to first answers", f"{outage:.2f} s",
             f"{outage - restore + load:.2f} s")]


def _judge(result, items):
    """What the guest cannot know: the outage, and how many items there have to be."""
    marks, metrics = dict(result.marks), result.metrics
    metrics["outage_s"] = marks["answer"] - marks["stop"]
    wrong = [key for key in metrics
             if key.startswith(("items_", "rows_")) and metrics[key] != items]
    sums = dict(line.split()[1:] for line in result.lines if line.startswith("CHECKSUM "))
    if wrong:
        result.why.append(f"{wrong[0]} is {metrics[wrong[0]]:.0f}, not {items}")
    if len(set(sums.values())) != 1:
        result.why.append(f"the checksums are not the same: {sums}")
    print()
    for what, carried, again in _rows(metrics, sums):
        print(f"  {what:<32} {carried:>18} {again:>18}".rstrip())
    print(flush=True)


class Act:
    """What the act plays with, and how."""

    def __init__(self):
        self._path, self._items = cache.items()

    def announcement(self):
        return (f"{self._items:,} packages, {self._path.stat().st_size >> 20} MiB of text "
                "for a cache and a database")

    def play(self, options):
        spec = table.Spec(
            "demo-operator", program=str(PROGRAM), kernel=options.kernel,
            memory=options.memory, stages=2, append="preserve_pool=128M",
            file=[f"{self._path}:data/packages.items"],
            directory=[f"{runner.TOP / 'mm'}:data/sources"],
            program_file=_program_files(), timeout=300)
        result = runner.run(spec, options.keep, _Terminal(self._items, "items").line)
        if result.ok():
            _judge(result, self._items)
        return result

    @staticmethod
    def last_word(metrics):
        return (f"All three survived: {int(metrics['items_after']):,} items, "
                f"{int(metrics['rows_after']):,} rows and {int(metrics['files_after'])} files; "
                f"the first answers came {metrics['outage_s']:.2f} s after the service was "
                f"stopped, without the {metrics['load_s']:.1f} s of loading again.")
