# SPDX-License-Identifier: GPL-2.0-only
"""Asks a virtual machine where its CPUs are, before it is ended.

Registers and the code addresses on the stacks come from QEMU, so they are there
however broken the kernel is. Then an NMI makes the kernel panic and print the
backtraces of all CPUs on its console; see CMDLINE in runner.py.
"""

import re
import time

from .qmp import QmpError

NMI_WAIT = 15
SAMPLES = 3
STACK_WORDS = 160
FIELD = re.compile(r"\b([A-Z][A-Z0-9]{1,2})\s*=\s*([0-9a-f]+)")
SHOWN = re.compile(r"[RE][A-Z0-9]+ *=|CR0=|IDT=")
IDT = re.compile(r"^IDT=\s*([0-9a-f]+)", re.M)
WORD = re.compile(r"0x([0-9a-f]{16})\b")


def _registers(text):
    """The lines of interest, and the values by name."""
    lines = [line.strip() for line in text.splitlines()
             if SHOWN.match(line.strip())]
    values = {name: int(value, 16) for name, value in FIELD.findall(text)}
    # A CPU that is not in 64-bit mode yet.
    values.update({f"R{name[1:]}": value for name, value in values.items()
                   if name in ("EIP", "ESP", "EFL")})
    idt = IDT.search(text)
    values["IDT"] = int(idt[1], 16) if idt else 0
    return lines, values


def _words(qmp, cpu, address, number):
    """Words of memory as the CPU sees it; fewer where nothing is mapped."""
    text = qmp.monitor(f"x /{number}gx {address:#x}", cpu)
    return [int(word, 16) for line in text.splitlines()
            for word in WORD.findall(line.partition(":")[2])]


def _handler(qmp, cpu, idt):
    """Where the interrupt table sends a page fault."""
    words = _words(qmp, cpu, idt + 14 * 16, 2)
    if len(words) < 2:
        return 0
    return (words[0] & 0xffff) | (words[0] >> 48 << 16) | \
        ((words[1] & 0xffffffff) << 32)


def locate(qmp, cpu, idt, candidates):
    """The symbols that fit the running kernel, of @candidates; or None."""
    handler = _handler(qmp, cpu, idt)
    return next((symbols for symbols in candidates
                 if symbols.locate(handler)), None)


def _named(symbols, address):
    name = symbols.name(address) if symbols else ""
    return f"{address:#x} {name}".strip()


def _places(qmp, cpu, first):
    """The code addresses that a CPU is seen at within a second."""
    places = [first]
    for _ in range(SAMPLES - 1):
        time.sleep(0.3)
        places.append(_registers(qmp.monitor("info registers", cpu))[1]["RIP"])
    return list(dict.fromkeys(places))


def _state(values):
    what = "halted" if values["HLT"] else \
        "in user space" if values["CPL"] == 3 else "running"
    return f"{what}, interrupts {'on' if values['RFL'] & 0x200 else 'off'}"


def _stack(qmp, cpu, values, symbols):
    if values["CPL"] or not symbols:
        return
    yield "  code addresses on its stack, newest first; some are left over:"
    for word in _words(qmp, cpu, values["RSP"], STACK_WORDS):
        if symbols.name(word):
            yield f"    {symbols.name(word)}"


def _one_cpu(qmp, cpu, values, symbols):
    yield f"CPU {cpu}: {_state(values)}"
    for place in _places(qmp, cpu, values["RIP"]):
        yield f"  at {_named(symbols, place)}"
    yield from _stack(qmp, cpu, values, symbols)


def cpus(qmp, candidates):
    """What all CPUs do, as lines of text."""
    lines, symbols = [], None
    try:
        for cpu in qmp.command("query-cpus-fast"):
            cpu = cpu["cpu-index"]
            registers, values = _registers(qmp.monitor("info registers", cpu))
            try:
                symbols = symbols or locate(qmp, cpu, values["IDT"], candidates)
                lines += _one_cpu(qmp, cpu, values, symbols)
            except KeyError as error:
                lines.append(f"CPU {cpu}: (QEMU does not show {error})")
            lines += [f"  {line}" for line in registers]
    except QmpError as error:
        lines.append(f"(no more: {error})")
    return lines


def nmi(qmp, clock, slower):
    """Makes the kernel panic and waits until it has. Says what came of it."""
    try:
        if any(event["event"] == "SHUTDOWN" for event in qmp.events()):
            return "the machine has ended meanwhile, without an NMI"
        qmp.command("inject-nmi")
        end = clock.now() + NMI_WAIT * slower
        while clock.now() < end:
            if any(event["event"] == "SHUTDOWN" for event in qmp.events(1.0)):
                return "the kernel has answered an NMI: its backtraces end the log above"
    except QmpError as error:
        return f"no NMI: {error}"
    return "the kernel has not come to an end after an NMI"
