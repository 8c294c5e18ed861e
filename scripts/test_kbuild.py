#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests of kbuild.py and check-configs, with a kernel tree of a few lines."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
SCRIPTS = Path(__file__).resolve().parent
sys.path.insert(0, str(SCRIPTS))
import kbuild  # noqa: E402

BAD = """\
mm/preserve/pool.c:12:3: warning: unused variable 'x' [-Wunused-variable]
mm/preserve/pool.c:12: error: expected ';'
Warning: mm/preserve/pool.c:9 function parameter 'nid' not described in 'f'
mm/preserve/pool.o: warning: objtool: f() falls through to next function g()
WARNING: unmet direct dependencies detected for PRESERVE
clang-19: warning: argument unused during compilation: '-pg'
mm/Kconfig:12:warning: defaults for choice values not supported
make[3]: *** [scripts/Makefile.build:289: mm/preserve/pool.o] Error 1
"""
GOOD = """\
  CC      mm/preserve/pool.o
.config:1575:warning: override: reassigning to symbol SYSCTL
mm/preserve/pool.c: In function 'f':
make: Entering directory 'linux'
"""
TREE = {
    "Kconfig": "config ONE\n\tbool\nmenuconfig TWO\n",
    "mm/Makefile": "obj-y += a.o many.o\nobj-$(CONFIG_OFF) += b.o\n"
                   "many-y := c.o\nmany-$(CONFIG_OFF) += d.o\nmany-objs += e.o\n"
                   "obj-$(CONFIG_ON) += in/\nobj-$(CONFIG_OFF) += out/\n",
    "mm/in/Makefile": "obj-y += f.o\n",
    "mm/out/Makefile": "obj-y += g.o\n",
    "arch/x86/Kbuild": "obj-y += kernel/\n",
    "arch/x86/Makefile": "$(error this one is for the whole kernel)\n",
    "arch/x86/kernel/Makefile": "obj-y += h.o\n",
    "arch/arm64/Kbuild": "obj-y += kernel/\n",
    "arch/arm64/kernel/Makefile": "obj-y += i.o\n",
    "tools/testing/Makefile": "include no-such-file\n",
}


class Said(unittest.TestCase):

    def setUp(self):
        self.log = tempfile.NamedTemporaryFile(mode="w+", suffix=".log")

    def tearDown(self):
        self.log.close()

    def test_each_complaint_is_seen_and_nothing_else(self):
        self.log.write(GOOD + BAD)
        self.log.flush()
        self.assertEqual(kbuild.said(Path(self.log.name)), BAD.splitlines())

    def test_what_was_there_before_does_not_count(self):
        self.log.write(BAD)
        self.log.flush()
        self.assertEqual(kbuild.said(Path(self.log.name), len(BAD)), [])


class Tree(unittest.TestCase):

    def setUp(self):
        self.where = tempfile.TemporaryDirectory()
        self.tree = Path(self.where.name, "linux")
        for name, text in TREE.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.make = kbuild.Kbuild(self.tree, Path(self.where.name), "x86")
        auto = self.make.output / "include/config/auto.conf"
        auto.parent.mkdir(parents=True)
        auto.write_text("CONFIG_ON=y\n")

    def tearDown(self):
        self.where.cleanup()

    def test_the_objects_that_a_configuration_has(self):
        paths = [f"mm/{name}.c" for name in ("a", "b", "c", "d", "e", "in/f", "out/g")]
        paths += ["arch/x86/kernel/h.c", "arch/arm64/kernel/i.c", "tools/testing/t.c"]
        self.assertEqual(self.make.objects(paths),
                         ["arch/x86/kernel/h.o", "mm/a.o", "mm/c.o", "mm/e.o", "mm/in/f.o"])

    def test_what_is_up_to_date_is_compiled_again(self):
        made = self.make.output / "mm/a.o"
        made.parent.mkdir()
        made.write_text("")
        self.make.make = lambda log, *words: words
        self.assertEqual(self.make.compile(None, ["mm/a.o"]), ("W=1", "mm/a.o"))
        self.assertFalse(made.exists())

    def test_no_object_is_not_the_whole_kernel(self):
        self.make.make = lambda log, *words: self.fail("make is called")
        self.assertEqual(self.make.compile(None, []), 0)

    def test_an_option_that_is_lost(self):
        def make(_log, *words):
            if words == ("olddefconfig",):
                (self.make.output / ".config").write_text(
                    "CONFIG_ONE=y\n# CONFIG_TWO is not set\nCONFIG_THREE=m\n")
        self.make.make = make
        self.assertIsNone(self.make.configure("", {"ONE": "y", "TWO": "n"}, None))
        self.assertEqual(self.make.configure("", {"TWO": "y", "THREE": "n"}, None),
                         "TWO is n, THREE is m")

    def test_an_option_that_is_in_no_kconfig(self):
        kbuild.Kbuild.options.clear()
        self.assertEqual(self.make.unknown(["ONE", "TWO", "TOO"]), ["TOO"])
        kbuild.Kbuild.options.clear()


class Clang(unittest.TestCase):

    def setUp(self):
        self.where = tempfile.TemporaryDirectory()
        self.path, os.environ["PATH"] = os.environ["PATH"], self.where.name

    def tearDown(self):
        os.environ["PATH"] = self.path
        self.where.cleanup()

    def compiler(self, name, says):
        path = Path(self.where.name, name)
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)

    def test_the_newest_one_that_the_kernel_takes(self):
        self.assertIsNone(kbuild.clang())
        self.compiler("clang", "Debian clang version 14.0.6")
        self.assertIsNone(kbuild.clang())
        self.compiler("clang-18", "no number")
        self.assertIsNone(kbuild.clang())
        self.compiler("clang-17", "Debian clang version 17.0.6")
        self.compiler("clang-19", "Debian clang version 19.1.4")
        self.assertEqual(kbuild.clang(), "clang-19")


class Matrix(unittest.TestCase):

    def check(self, *words):
        return subprocess.run([SCRIPTS / "check-configs", *words], capture_output=True,
                              text=True, check=False)

    def test_the_matrix_can_be_read(self):
        names = self.check("--list").stdout.split()
        self.assertIn("as-built", names)
        self.assertEqual(self.check("--list", "--quick").stdout.split(),
                         ["none-of-it", "all-of-it", "arm64"])

    def test_nothing_to_do_is_an_error(self):
        run = self.check("--quick", "as-built")
        self.assertEqual((run.returncode, "none of these" in run.stderr), (1, True))


if __name__ == "__main__":
    unittest.main()
