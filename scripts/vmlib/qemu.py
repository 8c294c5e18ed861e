# SPDX-License-Identifier: GPL-2.0-only
"""Runs one QEMU and hands over the lines of its port as they come.

The kernel's console goes into a file; the second serial port is QEMU's standard
output. A QMP connection says when the guest is off, and answers where its CPUs are
when it has to be ended.
"""

import dataclasses
import functools
import os
import selectors
import socket
import subprocess
import threading
import time

from . import qmp
from .arch import CHOSEN, HOST

PROGRAM = CHOSEN.qemu

# KVM may take so many times as long as an emulated CPU for the firmware, which is little
# but exits; where it takes longer, it is one inside another and of no use.
KVM_SLOWER = 10


def firmware_seconds(accel, limit):
    """How long the firmware takes to look for what to boot; None if longer than limit."""
    start = time.monotonic()
    with subprocess.Popen(
            [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-m", "64M",
             *accel, "-chardev", "stdio,id=log,signal=off",
             "-device", "isa-debugcon,iobase=0x402,chardev=log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL) as run:
        timer = threading.Timer(limit, run.kill)
        timer.start()
        seen = any(b"No bootable device" in line for line in run.stdout)
        timer.cancel()
        run.kill()
    return time.monotonic() - start if seen else None


@functools.cache
def kvm_usable():
    """There are machines with a /dev/kvm that cannot start a CPU, or are many times
    slower than an emulated one: tries both. What it tries is x86's firmware."""
    if CHOSEN.name != HOST or HOST != "x86" or \
            not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    try:
        emulated = firmware_seconds(["-accel", "tcg", "-cpu", "max"], 60)
        return bool(emulated and firmware_seconds(["-accel", "kvm", "-cpu", "host"],
                                                  KVM_SLOWER * emulated))
    except OSError:
        return False


def command(spec, kernel, initrd, cmdline, console):
    """The command line for a machine; spec as in table.Spec."""
    kvm = kvm_usable() and not spec.icount
    emulated = CHOSEN.exact_cpu if spec.icount else CHOSEN.cpu
    cpus = 1 if spec.icount else spec.cpus
    nodes = spec.numa + spec.memoryless
    args = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-m", spec.memory, "-smp", _smp(cpus, nodes),
            *CHOSEN.machine, "-accel", "kvm" if kvm else "tcg",
            "-cpu", "host" if kvm else emulated,
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline,
            "-chardev", f"file,id=console,path={console}",
            "-serial", "chardev:console",
            "-chardev", "stdio,id=port,signal=off", *CHOSEN.port]
    if spec.disk:
        args += ["-drive", f"file={spec.disk},format=raw,if=virtio,readonly=on"]
    if spec.icount:
        args += ["-icount", "shift=0"]
    if nodes > 1:
        args += _numa(spec.memory, cpus, spec.numa, nodes)
    else:
        args += _ram(0, memory_bytes(spec.memory))
        args += ["-machine", "memory-backend=ram0"]
    return args


def _ram(node, size):
    """Not reserved: a machine may have more than the host, and touch little of it."""
    return ["-object", f"memory-backend-ram,id=ram{node},size={size}B,reserve=off"]


def _smp(cpus, nodes):
    """CPUs of different nodes are in different sockets, as in a real machine."""
    sockets = min(cpus, nodes)
    if nodes > 1 and cpus % sockets == 0:
        return f"{cpus},sockets={sockets}"
    return str(cpus)


def _node_of(cpu, cpus, nodes):
    """With too few CPUs for all, the first and the last node have one."""
    if 1 < cpus < nodes:
        return cpu * (nodes - 1) // (cpus - 1)
    return cpu * nodes // cpus


def memory_bytes(text):
    """QEMU's reading of a size: MiB without a unit."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    unit = text[-1].upper()
    if unit in units:
        return int(float(text[:-1]) * units[unit])
    return int(text) << 20


def _numa(memory, cpus, with_memory, nodes):
    """The nodes that have memory come first."""
    each = memory_bytes(memory) // with_memory
    args = []
    for node in range(nodes):
        own = [cpu for cpu in range(cpus) if _node_of(cpu, cpus, nodes) == node]
        words = ["node", f"nodeid={node}"]
        if node < with_memory:
            args += _ram(node, each)
            words.append(f"memdev=ram{node}")
        words += [f"cpus={cpu}" for cpu in own]
        args += ["-numa", ",".join(words)]
    return args


@dataclasses.dataclass
class Limits:
    """How long a machine may take, in seconds of pace.Clock."""
    quiet: float                # without a word on console or port
    total: float
    grace: float                # after its kernel has reported something
    slower: float = 1.0         # all of these, for this kernel


@dataclasses.dataclass
class Outcome:
    """How a machine ended."""
    off: str = ""               # QEMU's word for why the guest is off
    why: str = ""               # what is wrong with that; or why it was ended
    explanation: tuple = ()     # lines: where its CPUs were
    longest: float = 0.0        # the longest time without a word
    console_end: int = None     # bytes of the log that came without being asked for


RUNNING = set()                 # processes, for end_all()


def end_all():
    """Ends all machines, so that the threads that run them come to an end."""
    for process in list(RUNNING):
        process.kill()


class Machine:
    """A running QEMU: its port, its console file, its QMP socket."""

    def __init__(self, args, console, errors):
        ours, theirs = socket.socketpair()
        try:
            with open(errors, "wb") as err:
                # No machine outlives the harness, however that ends.
                self._process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *args, "-no-shutdown",
                     "-chardev", f"socket,id=qmp,fd={theirs.fileno()}",
                     "-mon", "chardev=qmp,mode=control"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=err, pass_fds=(theirs.fileno(),))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        RUNNING.add(self._process)
        self.qmp = qmp.Qmp(ours)
        self._port = self._process.stdout
        self._rest = b""
        self._console = open(console, "rb")
        self._partial = ""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._port, selectors.EVENT_READ)
        self._selector.register(self.qmp, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        RUNNING.discard(self._process)
        self._selector.close()
        self._port.close()
        self._console.close()
        self.qmp.close()

    def wait(self, seconds):
        """Until something may have come."""
        self._selector.select(seconds)

    def port_lines(self):
        """Whole lines that came on the port, as (line, when); and whether anything
        did."""
        lines, grown = [], False
        os.set_blocking(self._port.fileno(), False)
        while True:
            try:
                data = os.read(self._port.fileno(), 65536)
            except BlockingIOError:
                return lines, grown
            if not data:
                return lines, grown
            grown, now = True, time.monotonic()
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines += [(line.decode(errors="replace").rstrip("\r"), now)
                      for line in whole]

    def console_lines(self):
        """Whole lines that came on the console; and whether anything did."""
        data = self._console.read()
        *lines, self._partial = \
            (self._partial + data.decode(errors="replace")).split("\n")
        return lines, bool(data)

    def console_end(self):
        return self._console.tell()

    def shutdown(self):
        """Why the guest is off: QEMU's word for it, or "" while it runs."""
        for event in self.qmp.events():
            if event["event"] == "SHUTDOWN":
                return event["data"]["reason"]
        return ""


class Watch:
    """What a machine has said, and whether it is time to end it."""

    def __init__(self, limits, clock, trouble):
        self._limits, self._clock, self._trouble = limits, clock, trouble
        self._start = self._last = clock.now()
        self._reported = None
        self.report = ""
        self.longest = 0.0

    def heard(self, lines):
        """Something came; @lines of it are the console's."""
        now = self._clock.now()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        if not self.report:
            self.report = next(filter(None, map(self._trouble, lines)), "")
            self._reported = now

    def over(self):
        """The reason to end it; "" for none."""
        now, limits = self._clock.now(), self._limits
        self.longest = max(self.longest, now - self._last)
        slow = self._clock.slowness()
        pace = f" (this machine is {slow:.1f} times slower now)" \
            if slow >= 1.5 else ""
        if now - self._last > limits.quiet:
            return f"no word for {limits.quiet:.0f} s{pace}"
        if now - self._start > limits.total:
            return f"not done after {limits.total:.0f} s{pace}"
        if self.report and now - self._reported > limits.grace:
            return f"ended, for its kernel reports: {self.report}"
        return ""


# A guest ends by powering off. What panics or has a triple fault resets itself.
WRONG_END = {"guest-shutdown": "", "guest-reset": "the guest has reset itself"}


def run(args, console, errors, watch, on_line, tell):
    """Runs a machine until the guest is off or @watch says that it is over.

    @tell asks it where its CPUs are: called with its QMP connection and with
    whether it still runs, before it is ended and after a reset, which is how a
    kernel ends that panics.
    """
    with Machine(args, console, errors) as machine:
        try:
            machine.qmp.greet()
        except qmp.QmpError as error:
            return Outcome(why=str(error))
        off = why = ""
        while not off and not why:
            machine.wait(1.0)
            off = _listen(machine, watch, on_line)
            why = WRONG_END.get(off, off) if off else watch.over()
        console_end = machine.console_end()
        explanation = tell(machine.qmp, not off) if why else ()
        return Outcome(off, why, explanation, watch.longest, console_end)


def _listen(machine, watch, on_line):
    """Hands over what has come. Says why the guest is off, "" if it runs."""
    try:
        off = machine.shutdown()
    except qmp.QmpError as error:
        off = str(error)
    lines, spoken = machine.port_lines()
    for line, when in lines:
        on_line(line, when)
    console, grown = machine.console_lines()
    if spoken or grown:
        watch.heard(console)
    return off
