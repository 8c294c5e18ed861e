# SPDX-License-Identifier: GPL-2.0-only
"""Tests of what goes into an initial file system."""

import tempfile
import unittest
from pathlib import Path

from vmlib import initramfs, runner


class Files(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.top = Path(place.name)

    def test_a_tree_keeps_empty_directories(self):
        (self.top / "tree/below/empty").mkdir(parents=True)
        (self.top / "tree/below/file").write_text("text")
        image = initramfs.Initramfs()
        image.add_tree(self.top / "tree", "/data")
        path = image.write(self.top / "images")
        archive = path.read_bytes()
        for name in (b"data", b"data/below", b"data/below/empty",
                     b"data/below/file"):
            self.assertIn(name + b"\0", archive)
        self.assertIn(b"text", archive)

    def test_a_tree_that_is_missing_is_said(self):
        with self.assertRaises(FileNotFoundError):
            initramfs.Initramfs().add_tree(self.top / "none", "/data")

    def test_the_last_match_of_a_pattern_counts(self):
        for name in ("14", "15"):
            (self.top / name).mkdir()
        self.assertEqual(runner.one_match(f"{self.top}/1*"), f"{self.top}/15")

    def test_what_matches_nothing_stays_for_the_message(self):
        self.assertEqual(runner.one_match("/no/such/*"), "/no/such/*")
