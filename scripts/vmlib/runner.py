# SPDX-License-Identifier: GPL-2.0-only
"""Runs one test in one VM and judges it."""

import dataclasses
import glob
import os
import secrets
import shlex
import subprocess
import time
import traceback
from pathlib import Path

from . import explain, initramfs, klog, pace, qemu, symbols, table, verdict
from .arch import BUILD, CHOSEN, TOP

SELFTESTS = CHOSEN.build / "selftests"
LOGS = BUILD / "logs/vm"
WORK = BUILD / "vm"

# What each kernel gets; retain_initrd lets it hand its programs to the next. KUnit tests
# run where a test asks for them, not at each boot. One RAM disk is enough for swap; 16 of
# them are half a second of a debug boot. arch.py has the rest.
CMDLINE = (f"{CHOSEN.words} printk.time=1 kho=on liveupdate=on retain_initrd "
           "oops=panic panic=-1 rdinit=/init panic_sys_info=all_bt,tasks kunit.enable=0 "
           "brd.rd_nr=1")
# KASAN's shadow is reserved memory: KHO's default, twice what is reserved, would
# leave none, and the debug kernel needs room for it in the scratch areas: see
# node_scratch().
# kmemleak makes a run three times as long, so only the tests that ask for it have it.
# While 7.3 identifies the boot CPU, the bit that tells of five page table levels is
# clear; an interrupt that comes then makes KASAN report good addresses. no5lvl
# takes that away.
# A CPU of a busy host stands still for seconds: the lockup detectors wait 20 and 40.
DEBUG_WORDS = "kho_scratch=32M,256M,{node}M no5lvl watchdog_thresh=20"
KMEMLEAK_WORDS = {True: "preserve.kmemleak=1", False: "kmemleak=off"}
LEAST_SCRATCH = 640 << 20

# Seconds without a word, and in all, of pace.clock(). No test is meant to come near.
QUIET, TOTAL = 60, 600
GRACE = 10                      # after the kernel has reported something
SLOWER = {"debug": 4}
ICOUNT_SLOWER = 6


class SetupError(Exception):
    """Something that a run needs is not there."""


@dataclasses.dataclass
class Result:
    """What a run came to."""
    spec: object
    why: list
    passed: list
    failed: list
    metrics: dict
    marks: list
    lines: list
    seconds: float
    log: Path
    longest: float = 0.0        # seconds of pace.clock() without a word
    reported: str = ""          # what no second run can excuse

    def ok(self):
        return not self.why

    def nr_passed(self):
        return len(self.passed)

    def nr_failed(self):
        """A run that fails without a failed case counts as one."""
        return max(len(self.failed), 0 if self.ok() else 1)

    def line(self):
        name = f"{self.spec.name} ({self.spec.kernel})"
        if self.ok():
            return (f"ok    {name:<44} {self.seconds:6.1f} s "
                    f"{len(self.passed):4} cases")
        more = f" (and {len(self.why) - 1} more)" if len(self.why) > 1 else ""
        where = f"; log: {self.log}" if self.log.exists() else ""
        return (f"FAIL  {name:<44} {self.seconds:6.1f} s  {self.why[0]}{more}"
                f"{where}")

    def as_dict(self):
        return {"test": self.spec.name, "kernel": self.spec.kernel,
                "ok": self.ok(), "why": self.why,
                "seconds": round(self.seconds, 2),
                "longest_silence": round(self.longest, 2),
                "passed": self.passed, "failed": self.failed,
                "metrics": self.metrics, "marks": self.marks,
                "log": str(self.log)}


def build(directory):
    """Builds the programs of a directory of ours; quick when all is built."""
    log = LOGS.parent / f"build-{directory.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    output = CHOSEN.build / ("tools" if directory == "tools" else "selftests")
    with open(log, "wb") as out:
        run = subprocess.run(["make", f"-j{os.cpu_count()}", "-C",
                              str(TOP / directory), f"O={output}",
                              f"CROSS_COMPILE={CHOSEN.prefix()}"],
                             stdout=out, stderr=out, check=False)
    if run.returncode:
        raise SetupError(f"building {directory} failed; log: {log}")


def kernel_image(name):
    path = CHOSEN.kernel(name) if name in table.KERNELS else Path(name)
    if not path.is_file():
        hint = f"scripts/build-kernel {name}" if name in table.KERNELS else "name an image"
        raise SetupError(f"no kernel image {path}; next: {hint}")
    return path


def program_path(name):
    path = Path(name) if "/" in name else SELFTESTS / name
    if not path.is_file():
        raise SetupError(f"no test program {path}; next: make -C selftests/mm")
    return path


def node_scratch(spec):
    """MiB that KHO sets aside of a node for the next kernel's shadow and struct pages, an
    eighth and a 64th of the memory. Little more: in a node of two GiB it has to fit
    beside the kernel, which may lie in the middle."""
    nodes = max(spec.numa, 1)
    each = qemu.memory_bytes(spec.memory) // nodes
    size = max(each * 9 // 64 + (64 << 20), LEAST_SCRATCH // nodes)
    return -(-size >> 20)


def command_line(spec, stage):
    """All but the token and the stage, which the guest writes itself."""
    words = [CMDLINE, "preserve.test=/test"]
    if spec.has_debug():
        words.append(DEBUG_WORDS.format(node=node_scratch(spec)))
        # Earlier kernels end without a look.
        words.append(KMEMLEAK_WORDS[spec.kmemleak and stage == spec.stages - 1])
    if spec.args:
        words.append(f"preserve.args={spec.args}")
    words.append(spec.append_at(stage))
    return " ".join(word for word in words if word)


def one_match(pattern):
    """A path, from a pattern where the path has a version in it."""
    return (sorted(glob.glob(pattern)) or [pattern])[-1]


def build_initramfs(spec):
    image = initramfs.Initramfs()
    image.add_file(program_path("vm-init"), "init")
    image.add_program(program_path(spec.program), "test")
    # Of a kernel with modules, those that build-kernel leaves beside its image.
    for module in (kernel_image(spec.kernel).parent / "modules").glob("*.ko"):
        image.add_file(module, f"modules/{module.name}")
    for entry in spec.file:
        source, _, name = entry.partition(":")
        image.add_file(source, name or Path(source).name)
    for entry in spec.program_file:
        pattern, _, name = entry.partition(":")
        source = Path(one_match(pattern))
        # One of ours is where the test itself is.
        image.add_program(source if source.exists() else SELFTESTS / source, name or None)
    for entry in spec.directory:
        pattern, _, name = entry.partition(":")
        source = SELFTESTS / one_match(pattern)
        image.add_tree(source, name or str(source))
    for stage in range(1, spec.stages):
        kernel = kernel_image(spec.kernel_at(stage))
        inside = "vm/kernel-" + str(kernel.absolute()).strip("/").replace("/", "-")
        image.add_file(kernel, inside)
        image.add_text(f"vm/next/{stage}",
                       f"/{inside}\n{command_line(spec, stage)}\n")
    return image.write(WORK / "initramfs")


def limits(spec):
    """How long a run may take; README.md beside this file."""
    slower = 1
    if not qemu.kvm_usable() or spec.icount:
        slower = max(SLOWER.get(spec.kernel_at(stage), 1)
                     for stage in range(min(spec.stages, 4)))
        slower *= ICOUNT_SLOWER if spec.icount else 1
    return qemu.Limits(quiet=(spec.quiet or QUIET) * slower,
                       total=(spec.timeout or TOTAL) * slower,
                       grace=GRACE * slower, slower=slower)


def run(spec, keep=False, on_line=None, alone=False):
    """Runs a test; on_line is told each line of the port as it comes. @alone is for
    one that failed before, and has a log of its own.

    A thing that is missing is a failed run with a reason.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{spec.label()}{'-alone' if alone else ''}.log"
    log.unlink(missing_ok=True)
    port = verdict.Port()
    start, outcome, reported = time.monotonic(), qemu.Outcome(), ""
    try:
        why, outcome, reported = _run(spec, port, log, keep, on_line)
    except (SetupError, FileNotFoundError) as error:
        why = [str(error)]
    except Exception as error:  # pylint: disable=broad-exception-caught
        # One test that the harness stumbles over is no reason to lose the others.
        reported = f"the harness failed: {error!r}"
        why = [reported, *traceback.format_exc().splitlines()]
    marks = [(name, round(when - start, 6)) for name, when in port.marks]
    return Result(spec, why, port.passed, port.failed, port.metrics, marks,
                  port.lines, time.monotonic() - start, log, outcome.longest,
                  reported)


def _tell(spec, port, clock, slower):
    """What qemu.run() calls to learn where the CPUs of a machine are."""
    def tell(qmp, running):
        stage = max(len(port.stages) - 1, 0)
        order = [stage, *range(stage + 1, spec.stages), *range(stage)]
        kernels = dict.fromkeys(kernel_image(spec.kernel_at(n)) for n in order)
        candidates = [found for found in
                      (symbols.of_image(image) for image in kernels) if found]
        lines = explain.cpus(qmp, candidates)
        return lines + ([explain.nmi(qmp, clock, slower)] if running else [])
    return tell


def _watched(spec, port, log, args, on_line):
    """Runs the machine. Returns its outcome and QEMU's own messages."""
    def hear(line, when):
        port.feed(line, when)
        if on_line:
            on_line(line, when)

    def trouble(line):
        return line.strip() if klog.trouble(line, spec.expect) else ""

    errors = log.with_suffix(".qemu")
    clock = pace.clock()
    log.write_bytes(b"")
    limit = limits(spec)
    outcome = qemu.run(args, log, errors, qemu.Watch(limit, clock, trouble), hear,
                       _tell(spec, port, clock, limit.slower))
    messages = errors.read_text(errors="replace")
    errors.unlink()
    return outcome, messages


def _append(log, title, lines):
    if lines:
        with open(log, "a", encoding="utf-8") as out:
            out.write("\n".join([f"\n--- {title} ---", *lines, ""]))


def _judge(spec, token, port, console):
    """Why the run is no pass; empty when it is one."""
    why = klog.problems(console, spec.expect) + port.judge(token, spec.stages)
    return why or [f"kernel log of stage {stage} is not complete" for stage
                   in klog.missing_marks(console, token, spec.stages)]


def _reported(spec, console, outcome):
    """What no second run can excuse: a line of the kernel's, or a reset."""
    if outcome.off == "guest-reset":
        return outcome.why
    return next((line.strip() for line in console.splitlines()
                 if klog.trouble(line, spec.expect)), "")


def _run(spec, port, log, keep, on_line):
    """Why it is no pass, how the machine ended, and what its kernel has reported."""
    token = secrets.token_hex(8)
    cmdline = (f"{command_line(spec, 0)} preserve.token={token} "
               f"preserve.stage=0")
    args = qemu.command(spec, kernel_image(spec.kernel), build_initramfs(spec),
                        cmdline, log)
    outcome, messages = _watched(spec, port, log, args, on_line)
    # What an NMI has brought is no fault of the test's.
    console = log.read_bytes()[:outcome.console_end].decode(errors="replace")
    why = _judge(spec, token, port, console)
    if outcome.why:
        why.insert(0, outcome.why)
    if messages and (outcome.why or not port.stages):
        why.append(messages.strip())
    _append(log, "where the CPUs were", outcome.explanation)
    _append(log, "port", port.lines)
    _append(log, "qemu", messages.splitlines())
    _append(log, "command", [shlex.join(args)] if keep else [])
    return why, outcome, _reported(spec, console, outcome)
