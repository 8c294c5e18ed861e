# SPDX-License-Identifier: GPL-2.0-only
"""The package index of the machine's apt lists, as a data set for the demo."""

import os
import subprocess
from pathlib import Path

from vmlib import runner

from .screen import die, say

DIRECTORY = runner.BUILD / "demo"
MIN_ROWS = 60000
FIELDS = ("Package", "Version", "Architecture", "Section", "Size",
          "Installed-Size", "Maintainer", "Description")


def _lists_of_apt():
    """The package index files that apt has, as apt names them."""
    run = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(FILENAME)",
         "Created-By: Packages"], capture_output=True, text=True, check=False)
    found = []
    for name in sorted(set(run.stdout.split())):
        path = Path(name)
        found += sorted(path.parent.glob(path.name + "*"))[:1]
    return found


def _update_lists():
    command = ["apt-get", "update"]
    if os.getuid():
        command.insert(0, "sudo")
    say("apt has no package lists: apt-get update")
    runner.LOGS.mkdir(parents=True, exist_ok=True)
    log = runner.LOGS / "demo-apt-update.log"
    with open(log, "wb") as out:
        if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
            die(f"apt-get update failed; log: {log}",
                "check the network and run it by hand")


def _read_list(path):
    run = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)],
                         capture_output=True, check=False)
    return run.stdout.decode(errors="replace")


def _rows_of(text):
    """One tuple per package; only a field's first line counts."""
    for stanza in text.split("\n\n"):
        values = {}
        for line in stanza.split("\n"):
            name, colon, value = line.partition(":")
            if colon and not name.startswith(" "):
                values[name] = value.strip()
        if "Package" in values:
            yield tuple(values.get(field, "") for field in FIELDS)


def written(name, recipe, write):
    """Path of a file that write(rows, path) makes from the index, and the number
    of entries that it gives back; made once a list and recipe."""
    lists = _lists_of_apt()
    if not lists:
        _update_lists()
        lists = _lists_of_apt()
    path = DIRECTORY / name
    stamp = path.with_suffix(".stamp")
    key = "\n".join(f"{name} {name.stat().st_mtime_ns}" for name in lists)
    key += f"\n{recipe}{FIELDS}"
    if path.exists() and stamp.exists():
        number, _, old = stamp.read_text().partition("\n")
        if old == key:
            return path, int(number)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    say("reading the package index of apt's lists")
    rows = [row for name in lists for row in _rows_of(_read_list(name))]
    if len(rows) < MIN_ROWS:
        die(f"apt's lists have {len(rows)} packages, the demo wants {MIN_ROWS}",
            "enable Debian's main archive in apt's sources, apt-get update")
    number = write(rows, path)
    stamp.write_text(f"{number}\n{key}")
    return path, number
