# SPDX-License-Identifier: GPL-2.0-only
"""Runs one test in one VM and judges it."""

import dataclasses
import glob
import os
import secrets
import shlex
import subprocess
import time
from pathlib import Path

from . import initramfs, klog, qemu, verdict

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
SELFTESTS = BUILD / "selftests"
LOGS = BUILD / "logs/vm"
WORK = BUILD / "vm"

# What each kernel gets; retain_initrd lets it hand its programs to the next. On a
# busy host the emulated timer comes too late for the kernel's test of it:
# no_timer_check leaves that out, as the kernel does by itself under KVM.
CMDLINE = ("console=ttyS0,115200 printk.time=1 kho=on liveupdate=on retain_initrd "
           "oops=panic panic=-1 rdinit=/init no_timer_check")
# KASAN's shadow is reserved memory: KHO's default, twice what is reserved, would
# leave none, and the debug kernel needs room for it in the scratch areas: see
# node_scratch().
# While 7.3 identifies the boot CPU, the bit that tells of five page table levels is
# clear; an interrupt that comes then makes KASAN report good addresses. no5lvl
# takes that away.
DEBUG_WORDS = "kho_scratch=32M,256M,{node}M no5lvl"
LEAST_SCRATCH = 640 << 20
SLOWER = {"debug": 8}
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
                "passed": self.passed, "failed": self.failed,
                "metrics": self.metrics, "marks": self.marks,
                "log": str(self.log)}


def build(directory):
    """Builds the programs of a directory of ours; quick when all is built."""
    log = LOGS.parent / f"build-{directory.replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    output = BUILD / ("tools" if directory == "tools" else "selftests")
    with open(log, "wb") as out:
        run = subprocess.run(["make", "-C", str(TOP / directory), f"O={output}"],
                             stdout=out, stderr=out, check=False)
    if run.returncode:
        raise SetupError(f"building {directory} failed; log: {log}")


def kernel_image(name):
    known = {"normal": BUILD / "bzImage", "stock": BUILD / "stock/bzImage",
             "debug": BUILD / "debug/bzImage"}
    path = known.get(name, Path(name))
    if not path.is_file():
        hint = {"normal": "make kernel", "stock": "make stock",
                "debug": "make kernel-debug"}.get(name, "name an image")
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
    for entry in spec.file:
        source, _, name = entry.partition(":")
        image.add_file(source, name or Path(source).name)
    for entry in spec.program_file:
        pattern, _, name = entry.partition(":")
        image.add_program(one_match(pattern), name or None)
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


def time_limit(spec):
    seconds = spec.timeout or 30 + 15 * spec.stages
    if qemu.kvm_usable() and not spec.icount:
        return seconds
    slower = max(SLOWER.get(spec.kernel_at(stage), 1)
                 for stage in range(min(spec.stages, 4)))
    return seconds * slower * (ICOUNT_SLOWER if spec.icount else 1)


def run(spec, keep=False, on_line=None):
    """Runs a test; on_line is told each line of the port as it comes.

    A thing that is missing is a failed run with a reason.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{spec.label()}.log"
    log.unlink(missing_ok=True)
    port = verdict.Port()
    start = time.monotonic()
    try:
        why = _run(spec, port, log, keep, on_line)
    except (SetupError, FileNotFoundError) as error:
        why = [str(error)]
    marks = [(name, round(when - start, 6)) for name, when in port.marks]
    return Result(spec, why, port.passed, port.failed, port.metrics, marks,
                  port.lines, time.monotonic() - start, log)


def _run(spec, port, log, keep, on_line):
    def hear(line, when):
        port.feed(line, when)
        if on_line:
            on_line(line, when)

    token = secrets.token_hex(8)
    errors = log.with_suffix(".qemu")
    cmdline = (f"{command_line(spec, 0)} preserve.token={token} "
               f"preserve.stage=0")
    args = qemu.command(spec, kernel_image(spec.kernel), build_initramfs(spec),
                        cmdline, log)
    log.write_bytes(b"")
    limit = time_limit(spec)
    in_time = qemu.run(args, limit, hear, errors)

    console = log.read_text(errors="replace")
    why = klog.problems(console, spec.expect)
    why += port.judge(token, spec.stages)
    if not in_time:
        why.insert(0, f"not done after {limit} s")
    if not why:
        why += [f"kernel log of stage {stage} is not complete"
                for stage in klog.missing_marks(console, token, spec.stages)]
    with open(log, "a", encoding="utf-8") as out:
        out.write("\n--- port ---\n" + "\n".join(port.lines) + "\n")
        messages = errors.read_text(errors="replace")
        if messages:
            out.write("--- qemu ---\n" + messages)
            why += [] if in_time and port.stages else [messages.strip()]
        if keep:
            out.write("--- command ---\n" + shlex.join(args) + "\n")
    errors.unlink()
    return why
