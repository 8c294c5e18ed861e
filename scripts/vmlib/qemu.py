# SPDX-License-Identifier: GPL-2.0-only
"""Runs one QEMU and hands over the lines of its port as they come.

The kernel's console goes into a file; the second serial port is QEMU's
standard output.
"""

import functools
import os
import selectors
import subprocess
import time

PROGRAM = "qemu-system-x86_64"


@functools.cache
def kvm_usable():
    """There are machines with a /dev/kvm that cannot start a CPU: tries one."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    try:
        return not subprocess.run(
            [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
             "-accel", "kvm", "-cpu", "host", "-S", "-monitor", "stdio"],
            input=b"quit\n", capture_output=True, timeout=20,
            check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def command(spec, kernel, initrd, cmdline, console):
    """The command line for a machine; spec as in table.Spec."""
    kvm = kvm_usable() and not spec.icount
    cpus = 1 if spec.icount else spec.cpus
    nodes = spec.numa + spec.memoryless
    args = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-m", spec.memory, "-smp", _smp(cpus, nodes),
            "-accel", "kvm" if kvm else "tcg", "-cpu", "host" if kvm else "max",
            "-kernel", str(kernel), "-initrd", str(initrd), "-append", cmdline,
            "-chardev", f"file,id=console,path={console}",
            "-serial", "chardev:console",
            "-chardev", "stdio,id=port,signal=off", "-serial", "chardev:port"]
    if spec.disk:
        args += ["-drive", f"file={spec.disk},format=raw,if=virtio,readonly=on"]
    if spec.icount:
        args += ["-icount", "shift=0"]
    if nodes > 1:
        args += _numa(spec.memory, cpus, spec.numa, nodes)
    return args


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
            args += ["-object", f"memory-backend-ram,id=ram{node},size={each}B"]
            words.append(f"memdev=ram{node}")
        words += [f"cpus={cpu}" for cpu in own]
        args += ["-numa", ",".join(words)]
    return args


def run(args, timeout, on_line, errors):
    """Runs until the guest is off. True unless the time was over before."""
    deadline = time.monotonic() + timeout
    with open(errors, "wb") as err:
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=err)
    try:
        return _pump(process, deadline, on_line)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _pump(process, deadline, on_line):
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if not selector.select(left):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            now = time.monotonic()
            if not data:
                return True
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace").rstrip("\r"), now)
