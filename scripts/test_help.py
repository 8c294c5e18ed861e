#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""test_help: every script says what it does when asked to, and does nothing else."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parent.parent
PLACES = ("scripts", "bench", "bench/native")
# A compiler, and unit tests.
OTHERS = {"cc", "test_hooks.py", "test_help.py"}


def scripts():
    return [path.relative_to(TOP) for place in PLACES
            for path in sorted((TOP / place).iterdir())
            if path.is_file() and os.access(path, os.X_OK)
            and path.name not in OTHERS]


def content(directory):
    return {path.relative_to(directory) for path in directory.rglob("*")}


class Help(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.home = Path(place.name, "home")
        self.copy = Path(place.name, "copy")
        self.home.mkdir()
        shutil.copytree(TOP, self.copy, symlinks=True, ignore=lambda where, names:
                        {"build", ".git"} & {*names} if where == str(TOP) else ())

    def test_it_touches_nothing(self):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C"}
        for script in scripts():
            before = content(self.copy)
            with self.subTest(str(script)):
                run = subprocess.run([self.copy / script, "--help"], env=env,
                                     stdin=subprocess.DEVNULL, capture_output=True,
                                     text=True, timeout=60, check=False)
                self.assertEqual(run.returncode, 0, run.stderr)
                self.assertGreater(len(run.stdout), 40)
                self.assertEqual(run.stderr, "")
                self.assertEqual(content(self.copy) - before, set())
                self.assertEqual(content(self.home), set())


if __name__ == "__main__":
    unittest.main()
