# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the machine that a test asks for."""

import unittest

from vmlib import qemu, table


def nodes(**options):
    """What follows each -numa."""
    spec = table.Spec(name="test", memory="1G", **options)
    args = qemu.command(spec, "kernel", "initrd", "", "console")
    return [args[i + 1] for i, arg in enumerate(args) if arg == "-numa"]


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
