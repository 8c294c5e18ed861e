# SPDX-License-Identifier: GPL-2.0-only
"""The second act: memcached, as it is, with its memory on a tmpfs."""

from vmlib import runner, table

from . import packages
from .screen import Screen, check_clock

PROGRAM = runner.BUILD / "tools/demo-cache"
SERVER = "/usr/bin/memcached"


def _write_items(rows, path):
    """One line a package, key and value; of several versions the last counts."""
    items = {f"package:{name}": "\t".join(rest) for name, *rest in rows}
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(f"{key}\t{value}\n" for key, value in items.items())
    return len(items)


def items():
    """Path of the items, and how many there are."""
    return packages.written("packages.items", "", _write_items)


class Act:
    """What the act plays with, and how."""

    def __init__(self):
        self._path, self._items = items()

    def announcement(self):
        return (f"{self._items:,} packages, {self._path.stat().st_size >> 20} MiB "
                "of text for a cache")

    def play(self, options):
        spec = table.Spec(
            "demo-cache-plain" if options.plain else "demo-cache",
            program=str(PROGRAM),
            args="/packages.items" + (",plain" if options.plain else ""),
            kernel=options.kernel, memory=options.memory, stages=2,
            append="preserve_pool=96M" if not options.plain else "",
            file=[f"{self._path}:packages.items"], program_file=[SERVER],
            timeout=300)
        result = runner.run(spec, options.keep, Screen(self._items, "items").line)
        if result.ok():
            check_clock(result, "first-answer")
        return result

    @staticmethod
    def last_word(metrics):
        return (f"The cache survived: memcached served {int(metrics['items']):,} "
                f"items {metrics['blackout_s']:.2f} s after the reboot call, "
                f"without the {metrics['refill_s']:.1f} s of a refill.")
