#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""test_hooks: what hooks.py accepts and refuses. Run it, or unittest it."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
import hooks  # pylint: disable=wrong-import-position

SOURCE = """\
#include <linux/a.h>

struct one {
	int a;
	int b;
	int c;
};

static int table[] = {
	1,
	2,
	3,
};

#ifdef CONFIG_X
static void __init first(void (*call)(int), int x)
{
#else
static void __init first(int x)
{
#endif
	if (x == '{')
		x = "}{"[0];	/* } */
	x++;
	x--;
}

SYSCALL_DEFINE2(second, int, a,
		int, b)
{
	int x = a;

	x++;
	return x;
}

enum kind third(void)
{
	int x = 0;

	x++;
	return x;
}
"""


def patch(body, where="f.c:second", file="f.c"):
    places = "".join(f"Hook-in: {w}\n" for w in where.split())
    return f"From: A <a@b>\nSubject: [PATCH] x\n\n{places}---\n" \
           f"--- a/{file}\n+++ b/{file}\n{body}"


SECOND = """\
@@ -30,6 +30,7 @@ x
 {
 	int x = a;
 
+	hook(x);
 	x++;
 	return x;
 }
"""


class Hooks(unittest.TestCase):
    def run_on(self, *texts, source=SOURCE, file="f.c"):
        with tempfile.TemporaryDirectory() as tmp:
            os.mkdir(f"{tmp}/patches")
            with open(f"{tmp}/{file}", "w", encoding="utf-8") as f:
                f.write(source)
            for n, text in enumerate(texts):
                with open(f"{tmp}/patches/{n}.patch", "w", encoding="utf-8") as f:
                    f.write(text)
            os.environ["PATCHES"] = f"{tmp}/patches"
            err = io.StringIO()
            try:
                with contextlib.redirect_stderr(err):
                    return hooks.apply_all(tmp)[file]
            except SystemExit:
                return err.getvalue()
            finally:
                del os.environ["PATCHES"]

    def refused(self, why, *texts, **kw):
        out = self.run_on(*texts, **kw)
        self.assertRegex(out, r"^error: hook 0\.patch: .*" + why)
        self.assertIn("\n  next: ", out)

    def test_applies_in_place(self):
        self.assertIn("\n\thook(x);\n\tx++;\n\treturn", self.run_on(patch(SECOND)))

    def test_follows_a_shift(self):
        got = self.run_on(patch(SECOND), source="/* new */\n" * 40 + SOURCE)
        self.assertIn("int x = a;\n\n\thook(x);", got)

    def test_no_fuzz(self):
        self.refused("fits nowhere", patch(SECOND),
                     source=SOURCE.replace("int x = a;", "int x = b;"))

    def test_ambiguous_after_a_shift(self):
        body = "@@ -1,6 +1,7 @@\n \n \tx++;\n \treturn x;\n+\thook();\n }\n \n enum\n"
        self.refused("2 places", patch(body, "f.c:-"),
                     source="\n\n" + "\n\tx++;\n\treturn x;\n}\n\nenum\n" * 2)

    def test_too_little_context(self):
        body = "@@ -32,2 +32,3 @@\n \n+\thook(x);\n \tx++;\n"
        self.refused("fewer than 3", patch(body))
        got = self.run_on(patch(body, "Makefile:-", "Makefile"), file="Makefile")
        self.assertIn("hook(x)", got)

    def test_wrong_function(self):
        self.refused("stands in .*second.*names third", patch(SECOND, "f.c:third"))
        self.refused("nothing is added in third", patch(SECOND, "f.c:second f.c:third"))

    def test_header(self):
        self.refused("does not say where", patch(SECOND, ""))
        self.refused("names g.c", patch(SECOND, "f.c:second g.c:-"))
        self.refused("cut short", patch(SECOND[:-20]))

    def test_missing_file(self):
        self.refused("does not have", patch(SECOND.replace("f.c", "g.c"),
                                            "g.c:second", "g.c"))

    def test_new_file(self):
        self.refused("adds, removes", patch("new file mode 100644\n" + SECOND))

    def test_outside_only_preprocessor(self):
        body = "@@ -1,5 +1,6 @@\n #include <linux/a.h>\n%s\n \n struct one {\n \tint a;\n \tint b;\n"
        self.run_on(patch(body % "+#include <linux/b.h>" + SECOND))
        self.assertIn("b.h", self.run_on(
            patch(body % "+#include <linux/b.h>" + SECOND)))
        self.refused("outside", patch(body % "+int global;" + SECOND))

    def test_ranges(self):
        owners, _ = hooks.ranges(SOURCE)
        lines = SOURCE.split("\n")
        for text, name in (("\tint b;", "one"), ("\t2,", "table"),
                           ("\tx--;", "first"), ("\tint x = a;", "second"),
                           ("\tint x = 0;", "third")):
            self.assertIn(name, owners[lines.index(text)], text)
        self.assertFalse(owners[lines.index("#include <linux/a.h>")])

    def test_no_c(self):
        text = "one\n\n.. toctree::\n\n   a\n   c\n   d\n   e\n"
        body = "@@ -3,6 +3,7 @@\n .. toctree::\n \n    a\n+   b\n    c\n    d\n    e\n"
        self.assertIn("a\n   b\n   c\n", self.run_on(
            patch(body, "i.rst:-", "i.rst"), source=text, file="i.rst"))
        self.refused("i.rst is not C", patch(body, "i.rst:toctree", "i.rst"),
                     source=text, file="i.rst")

    def test_our_files(self):
        wanted = ("mm/a.c", "mm/Kconfig", "Documentation/mm/a.rst",
                  "Documentation/ABI/testing/sysfs-a")
        others = ("mm/a.o", "mm/a", "Documentation/mm/a", "Documentation/ABI/testing/sysfs-a~",
                  "Documentation/ABI/testing/.sysfs-a.swp", "lib/preserve-radix/native/a.h")
        with tempfile.TemporaryDirectory() as tmp:
            for name in wanted + others:
                os.makedirs(os.path.dirname(f"{tmp}/{name}"), exist_ok=True)
                with open(f"{tmp}/{name}", "w", encoding="utf-8"):
                    pass
            with unittest.mock.patch.object(hooks, "TOP", tmp):
                self.assertEqual(sorted(hooks.our_files()), sorted(wanted))


def main():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Hooks)
    result = unittest.TextTestRunner(sys.stderr).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
