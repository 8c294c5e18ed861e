# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the harness: what it takes for a pass and what it must not."""

import tempfile
import unittest
from pathlib import Path

from vmlib import initramfs, klog, qemu, runner, table, verdict

CLEAN = """\
Linux version 7.3.4 (debug)
PCI: CLS 0 bytes, default 64
kvm_amd: Nested Virtualization enabled
preserve: pool of 64 MiB on node 0
preserve-vm: abc stage 0 ends
"""

BAD = (
    "[    1.0] WARNING: CPU: 0 PID: 1 at mm/page_alloc.c:4 __alloc+0x1/0x2",
    "WARNING: mm/preserve/pool.c:12 at preserve_pool_free+0x1/0x2, CPU#0",
    "WARNING: possible circular locking dependency detected",
    "BUG: kernel NULL pointer dereference, address: 0000000000000000",
    "BUG: KASAN: use-after-free in preserve_put+0x10/0x20",
    "BUG: Bad page state in process test  pfn:12345",
    "BUG kmalloc-64 (Not tainted): Object already free",
    "kernel BUG at mm/shmem.c:100!",
    "Oops: general protection fault, probably for non-canonical address",
    "Kernel panic - not syncing: Fatal exception",
    "INFO: task test:1 blocked for more than 120 seconds.",
    "INFO: trying to register non-static key.",
    "WARNING: suspicious RCU usage",
    "UBSAN: shift-out-of-bounds in lib/x.c:1:2",
    "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "unreferenced object 0xffff888003a3c000 (size 64):",
    "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s!",
    "test[55]: segfault at 0 ip 0000000000401000 sp 00007ffd",
    "refcount_t: underflow; use-after-free.",
    "Out of memory: Killed process 60 (test)",
    "list_del corruption. next->prev should be x",
    "** 12 printk messages dropped **",
    " Call Trace:",
)


class KernelLog(unittest.TestCase):
    def test_clean(self):
        self.assertEqual(klog.problems(CLEAN), [])

    def test_each_kind_of_trouble(self):
        for line in BAD:
            with self.subTest(line):
                self.assertEqual(klog.problems(CLEAN + line + "\n"),
                                 [line.strip()])

    def test_expected_line_is_allowed(self):
        self.assertEqual(klog.problems(BAD[0], ["page_alloc.c:4"]), [])

    def test_expected_line_is_missed(self):
        self.assertEqual(klog.problems(CLEAN, ["refused"]),
                         ["missing from the log: refused"])

    def test_expected_line_hides_no_other(self):
        self.assertEqual(klog.problems("\n".join(BAD[:2]), ["page_alloc.c:4"]),
                         [BAD[1]])

    def test_exceptions_have_reasons(self):
        self.assertTrue(all(reason for _, reason in klog.EXCEPTIONS))

    def test_marks(self):
        self.assertEqual(klog.missing_marks(CLEAN, "abc", 2), [1])
        self.assertEqual(klog.missing_marks(CLEAN, "other", 1), [0])


GOOD = """\
STAGE 0
TAP version 13
ok 1 made
METRIC time_ns 12.5
1..1
STAGE 1
TAP version 13
1..2
ok 1 there
ok 2 gone # XFAIL known
EXIT status 0
VERDICT abc stage 1 pass
"""


class Verdict(unittest.TestCase):
    @staticmethod
    def judge(text, stages=2, token="abc"):
        port = verdict.Port()
        for line in text.splitlines():
            port.feed(line, 0.0)
        return port.judge(token, stages)

    def test_good(self):
        self.assertEqual(self.judge(GOOD), [])

    def test_each_line_of_a_good_run_matters(self):
        for change in (("VERDICT abc stage 1 pass", ""),
                       ("VERDICT abc stage 1 pass", "VERDICT abc stage 1 fail"),
                       ("VERDICT abc stage 1 pass", "VERDICT abc stage 0 pass"),
                       ("VERDICT abc", "VERDICT old"),
                       ("ok 2 gone", "not ok 2 gone"),
                       ("gone # XFAIL known", "gone # SKIP absent"),
                       ("ok 2 gone", ""),
                       ("1..2", ""),
                       ("1..1", "1..3"),
                       ("STAGE 1", ""),
                       ("EXIT status 0", "EXIT status 1"),
                       ("EXIT status 0", "EXIT signal 11"),
                       ("ok 1 made", "Bail out! no memory"),
                       ("METRIC time_ns 12.5", "METRIC time_ns")):
            with self.subTest(change):
                self.assertTrue(self.judge(GOOD.replace(*change)))

    def test_other_number_of_stages(self):
        self.assertTrue(self.judge(GOOD, stages=3))
        self.assertTrue(self.judge(GOOD, stages=1))

    def test_nothing_at_all(self):
        self.assertTrue(self.judge(""))
        self.assertTrue(self.judge("STAGE 0\nVERDICT abc stage 0 pass", 1))

    def test_metrics_alone_are_a_result(self):
        self.assertEqual(
            self.judge("STAGE 0\nMETRIC a 1\nVERDICT abc stage 0 pass", 1), [])


class Parts(unittest.TestCase):
    def test_initramfs_is_named_by_content(self):
        with tempfile.TemporaryDirectory() as directory:
            def write(text):
                image = initramfs.Initramfs()
                image.add_text("a/b/c", text)
                return image.write(directory)
            self.assertEqual(write("x"), write("x"))
            self.assertNotEqual(write("x"), write("y"))
            self.assertEqual(write("x").read_bytes()[:6], b"070701")

    def test_memory_sizes(self):
        self.assertEqual(qemu.memory_bytes("512"), 512 << 20)
        self.assertEqual(qemu.memory_bytes("1.5G"), 3 << 29)

    def test_scratch_areas(self):
        def mib(memory, numa=1):
            return runner.node_scratch(table.Spec("t", memory=memory, numa=numa))
        self.assertEqual(mib("3G"), 640)
        self.assertEqual(mib("4G", 2), 352)
        self.assertEqual(mib("8G", 2), 640)
        self.assertEqual(mib("16G"), 2368)

    def test_later_stages(self):
        spec = table.Spec("t", append="a", next_append=["b", ""],
                          next_kernel=["debug"])
        self.assertEqual([spec.append_at(n) for n in range(4)],
                         ["a", "b", "", ""])
        self.assertEqual([spec.kernel_at(n) for n in range(3)],
                         ["normal", "debug", "debug"])

    def test_table(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tests.list"
            path.write_text("[t]\nstages = 50\nappend = a  b\n"
                            "debug.stages = 5\nnext-append =\n  x\n  \"\"\n")
            tests = table.load(path)
            self.assertEqual(table.spec(tests, "t").stages, 50)
            self.assertEqual(table.spec(tests, "t", "debug").stages, 5)
            self.assertEqual(table.spec(tests, "t").append, "a b")
            self.assertEqual(table.spec(tests, "t").next_append, ["x", ""])
            for wrong in ("stagse = 50", "long.stagse = 1", "other.stages = 1",
                          "debug.long.stages = 1", "long = yes"):
                path.write_text(f"[t]\n{wrong}\n")
                with self.subTest(wrong), self.assertRaises(table.TableError):
                    table.load(path)

    def test_long_runs(self):
        tests = {"a": {"stages": "2", "long.stages": "5", "debug.stages": "3",
                       "long.debug.stages": "9"},
                 "b": {"stages": "4", "debug.stages": "6"}}
        def stages(name, kernel, long):
            return table.spec(tests, name, kernel, long).stages
        self.assertEqual([stages("a", k, l) for k in ("normal", "debug")
                          for l in (False, True)], [2, 5, 3, 9])
        self.assertEqual([spec.label() for spec in table.specs(tests, long=True)],
                         ["a-normal-long", "a-debug-long"])

    def test_a_test_belongs_to_its_costliest_kernel(self):
        tests = {"a": {}, "to": {"kernels": "normal", "next-kernel": "debug"},
                 "stock": {"kernels": "stock", "next-kernel": "normal"},
                 "older": {"kernels": "normal", "next-kernel": "older"}}
        def labels(*parts):
            return [spec.label() for spec in table.specs(tests, parts)]
        self.assertEqual(labels("normal"), ["a-normal"])
        self.assertEqual(labels("stock"), ["stock-stock"])
        self.assertEqual(labels("debug"), ["a-debug", "to-normal"])
        self.assertEqual(labels("older"), ["older-normal"])
        self.assertNotIn("older-normal", labels(*table.USUAL))


if __name__ == "__main__":
    unittest.main()
