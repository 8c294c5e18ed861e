# SPDX-License-Identifier: GPL-2.0-only
"""Tests of how the place of a CPU gets its name."""

import unittest

from vmlib import explain, qmp, symbols

MAP = """\
ffffffff81000000 T _text
ffffffff81000100 T do_wait
ffffffff81000200 t leaf
ffffffff81001b40 T asm_exc_page_fault
ffffffff81002000 T _etext
ffffffff82000000 D data
ffffffff83000000 T early_idt_handler_array
"""
MOVED = 0x1400000
FAULT = 0xffffffff81001b40 + MOVED
LEAF = 0xffffffff81000204 + MOVED
WAIT = 0xffffffff81000110 + MOVED

REGISTERS = f"""\
RAX=0000000000000001 RBX=0000000000000000
RIP={LEAF:016x} RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
RSP=ffffc90000003f00 RBP=0000000000000000
IDT=     fffffe0000000000 00000fff
FCW=037f FSW=0000
"""


class Machine:
    """Answers as QEMU does."""

    @staticmethod
    def command(name, **_):
        assert name == "query-cpus-fast"
        return [{"cpu-index": 0}]

    @staticmethod
    def monitor(line, _cpu):
        if line == "info registers":
            return REGISTERS
        if line == f"x /2gx {0xfffffe0000000000 + 14 * 16:#x}":
            low = (FAULT & 0xffff) | 0x8e0000100000 | (FAULT >> 16 & 0xffff) << 48
            return f"fffffe00000000e0: {low:#018x} {FAULT >> 32:#018x}"
        return f"ffffc90000003f00: {WAIT:#018x} {0x1234:#018x}"


class Symbols(unittest.TestCase):
    def setUp(self):
        self.symbols = symbols.Symbols(MAP)

    def test_no_names_before_the_place_is_known(self):
        self.assertEqual(self.symbols.name(LEAF), "")

    def test_place_from_the_handler(self):
        self.assertTrue(self.symbols.locate(FAULT))
        self.assertEqual(self.symbols.name(LEAF), "leaf+0x4")
        self.assertEqual(self.symbols.name(0xffffffff82000000 + MOVED), "")
        self.assertEqual(self.symbols.name(0x400000), "")

    def test_place_from_the_early_handler(self):
        self.assertTrue(self.symbols.locate(0xffffffff83000000 + MOVED + 9 * 14))

    def test_another_kernel_does_not_fit(self):
        self.assertFalse(self.symbols.locate(FAULT + 0x10))
        self.assertFalse(self.symbols.locate(0))


class Cpus(unittest.TestCase):
    def test_place_and_callers(self):
        text = "\n".join(explain.cpus(Machine(), [symbols.Symbols(MAP)]))
        self.assertIn("CPU 0: running, interrupts off", text)
        self.assertIn(f"at {LEAF:#x} leaf+0x4", text)
        self.assertIn("    do_wait+0x10", text)
        self.assertNotIn("FCW", text)

    def test_without_symbols(self):
        text = "\n".join(explain.cpus(Machine(), []))
        self.assertIn(f"at {LEAF:#x}", text)

    def test_a_cpu_that_has_not_started_hides_no_other(self):
        class Two(Machine):
            @staticmethod
            def command(name, **_):
                return [{"cpu-index": 1}, {"cpu-index": 0}]

            @staticmethod
            def monitor(line, cpu):
                if cpu == 1 and line == "info registers":
                    return "EAX=00000000\nEIP=0000fff0 EFL=00000002 CPL=0 HLT=1\n" \
                           "ESP=00000000\nIDT=     00000000 0000ffff\n"
                return Machine.monitor(line, cpu)
        text = "\n".join(explain.cpus(Two(), [symbols.Symbols(MAP)]))
        self.assertIn("CPU 1: halted", text)
        self.assertIn("EIP=0000fff0", text)
        self.assertIn("leaf+0x4", text)

    def test_what_qemu_does_not_show(self):
        class Odd(Machine):
            @staticmethod
            def monitor(line, _cpu):
                return "R8=1\n"
        self.assertIn("does not show", explain.cpus(Odd(), [])[0])

    def test_a_machine_that_is_gone(self):
        class Gone(Machine):
            @staticmethod
            def monitor(line, _cpu):
                raise qmp.QmpError("QEMU is gone")
        self.assertIn("QEMU is gone", explain.cpus(Gone(), [])[-1])


if __name__ == "__main__":
    unittest.main()
