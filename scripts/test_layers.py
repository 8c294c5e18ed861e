#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""test_layers: what layers finds. Run it, or unittest it."""

import importlib.machinery
import importlib.util
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
WHERE = str(Path(__file__).resolve().parent / "layers")
LOADER = importlib.machinery.SourceFileLoader("layers", WHERE)
layers = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("layers", LOADER))
LOADER.exec_module(layers)

POOL = """\
/* SPDX */
/*
 * A list:
 *
 *	low.c     is called
 *	high.c    calls, see
 *		low.c
 *	boot.c    is above all
 */
"""
FILE = "/* SPDX */\n/*\n *\tfile.c    knows the pool\n */\n"


class Order(unittest.TestCase):
    def test_files_come_between_the_pool_and_the_ends(self):
        self.assertEqual(layers.order(POOL, FILE),
                         (["low", "high"], ["low", "high", "file", "boot"]))


class Includes(unittest.TestCase):
    def found(self, path, name):
        return list(layers.knows(path, f'#include "{name}"\n', ["low"]))

    def test_the_pool_knows_no_files(self):
        self.assertTrue(self.found("mm/preserve/low.c", "file.h"))
        self.assertFalse(self.found("mm/preserve/low.c", "pool.h"))
        self.assertFalse(self.found("mm/preserve/demand.c", "file.h"))
        self.assertFalse(list(layers.knows("mm/preserve/low.c", "#include <linux/file.h>\n",
                                           ["low"])))

    def test_the_pool_names_no_files(self):
        text = "struct preserve_file *pf;\n"
        self.assertTrue(list(layers.knows("mm/preserve/low.c", text, ["low"])))
        self.assertFalse(list(layers.knows("mm/preserve/demand.c", text, ["low"])))

    def test_backends_know_no_private_header(self):
        self.assertTrue(self.found("mm/shmem_lu.c", "preserve/pool.h"))
        self.assertTrue(self.found("mm/shmem_lu.c", "preserve/tree/tree.h"))
        self.assertFalse(self.found("mm/shmem_lu.c", "linux/preserve.h"))
        self.assertFalse(self.found("mm/shmem_lu.c", "linux/kho/abi/preserve.h"))

    def test_mm_preserve_knows_no_backend(self):
        self.assertTrue(self.found("mm/preserve/demand.c", "../shmem_lu.h"))
        self.assertTrue(self.found("mm/preserve/tree/load.c", "../../shmem_lu.h"))

    def test_files_know_no_trees(self):
        self.assertTrue(self.found("mm/preserve/demand.c", "linux/preserve_tree.h"))
        self.assertFalse(self.found("mm/preserve/tree/load.c", "linux/preserve_tree.h"))

    def test_trees_use_the_public_header(self):
        self.assertTrue(self.found("mm/preserve/tree/load.c", "../file.h"))

    def test_trees_name_no_file_system(self):
        def found(text):
            return list(layers.knows("mm/preserve/tree/load.c", text, ["low"]))
        self.assertTrue(found("info = SHMEM_I(inode);\n"))
        self.assertTrue(found("x = shmem_get_inode(sb);\n"))
        self.assertFalse(found("/* As shmem does it. */\n"))

    def test_lib_knows_no_mm(self):
        self.assertTrue(self.found("lib/preserve-radix/map.c", "linux/preserve.h"))
        self.assertFalse(self.found("lib/preserve-radix/map.c", "linux/preserve_radix.h"))


class Calls(unittest.TestCase):
    NAMES = ["low", "high", "file"]

    def test_down_the_list_is_wrong(self):
        self.assertFalse(list(layers.against({"high": {"low": "f"}}, self.NAMES)))
        self.assertTrue(list(layers.against({"low": {"high": "f"}}, self.NAMES)))
        self.assertFalse(list(layers.against({"low": {"map_tree": "f"}}, self.NAMES)))

    def test_a_room_above_is_not_called(self):
        self.assertTrue(list(layers.against({"file": {"tree/load": "f"}}, self.NAMES)))

    def test_each_file_is_listed(self):
        self.assertTrue(list(layers.against({"new": {}}, self.NAMES)))

    def test_what_nm_says(self):
        text = ("                 U needed\n0000000000000010 T made\n"
                "0000000000000020 t mine\n                 U __tracepoint_x\n")
        self.assertEqual(layers.symbols(text), ({"made"}, {"needed"}))

    def test_who_calls(self):
        tables = {"low": ({"f"}, set()), "high": (set(), {"f", "printk"})}
        self.assertEqual(layers.calls(tables), {"low": {}, "high": {"low": "f"}})

    def test_circles(self):
        graph = {"a": {"b": "f"}, "b": {"c": "f"}, "c": {"a": "f"}, "d": {"a": "f"}}
        self.assertEqual(layers.circles(graph), {frozenset("abc")})
        self.assertEqual(layers.circles({"a": {"b": "f"}, "b": {}}), set())


if __name__ == "__main__":
    unittest.main()
