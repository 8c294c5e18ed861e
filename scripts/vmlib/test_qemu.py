# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the machine that a test asks for."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from vmlib import qemu, table


def nodes(**options):
    """What follows each -numa."""
    spec = table.Spec(name="test", memory="1G", **options)
    args = qemu.command(spec, "kernel", "initrd", "", "console")
    return [args[i + 1] for i, arg in enumerate(args) if arg == "-numa"]


class Firmware(unittest.TestCase):
    """How long it takes decides whether KVM is of use."""

    def seconds(self, script, limit):
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory) / "qemu"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            with mock.patch.object(qemu, "PROGRAM", str(program)):
                return qemu.firmware_seconds([], limit)

    def test_it_comes_to_its_end(self):
        took = self.seconds("sleep 0.2; echo No bootable device.; exec sleep 60", 30)
        self.assertGreaterEqual(took, 0.2)

    def test_it_takes_too_long(self):
        self.assertIsNone(self.seconds("exec sleep 60", 0.2))

    def test_it_does_not_start(self):
        self.assertIsNone(self.seconds("exit 1", 30))


class Memory(unittest.TestCase):
    def test_more_than_the_host_has(self):
        for numa in (1, 2):
            spec = table.Spec(name="test", memory="64G", numa=numa)
            args = qemu.command(spec, "kernel", "initrd", "", "console")
            each = f"size={(64 << 30) // numa}B,reserve=off"
            self.assertEqual(sum(each in arg for arg in args), numa)


class Nodes(unittest.TestCase):
    def test_one_node_needs_no_words(self):
        self.assertEqual(nodes(), [])

    def test_memory_and_cpus_are_spread(self):
        self.assertEqual(nodes(numa=2, cpus=4),
                         ["node,nodeid=0,memdev=ram0,cpus=0,cpus=1",
                          "node,nodeid=1,memdev=ram1,cpus=2,cpus=3"])

    def test_a_node_without_memory_has_cpus(self):
        self.assertEqual(nodes(numa=1, memoryless=1),
                         ["node,nodeid=0,memdev=ram0,cpus=0",
                          "node,nodeid=1,cpus=1"])

    def test_the_last_node_has_a_cpu_when_there_are_few(self):
        self.assertEqual(nodes(numa=2, memoryless=1),
                         ["node,nodeid=0,memdev=ram0,cpus=0",
                          "node,nodeid=1,memdev=ram1",
                          "node,nodeid=2,cpus=1"])


if __name__ == "__main__":
    unittest.main()
