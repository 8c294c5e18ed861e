# SPDX-License-Identifier: GPL-2.0-only
"""Starts virtual machines for all parts, by scripts/vmlib, and says what they ran on.

A part says what the guest is to run and what it needs for that; it gets the metrics.
Under -icount, with one CPU, a nanosecond of guest time and a tick of the time stamp
counter are an instruction each.
"""

import argparse
import contextlib
import functools
import hashlib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(TOP / "scripts"))

# pylint: disable=wrong-import-position
from benchlib import timeline
from demolib import database
from vmlib import qemu, runner, table

PROGRAMS = runner.BUILD / "bench"
RESULTS = runner.BUILD / "results/bench"
IMAGES = {"normal": runner.BUILD / "bzImage", "stock": runner.BUILD / "stock/bzImage"}
TESTS = TOP / "selftests/mm/tests.list"
# Seconds. A benchmark says nothing for long.
TIMEOUT = 3000


class Failed(Exception):
    """A part cannot go on; @next_step is what to do."""

    def __init__(self, what, next_step):
        super().__init__(what)
        self.next_step = next_step

    def __str__(self):
        return f"error: {self.args[0]}\n  next: {self.next_step}"


def make(directory, *words):
    """Runs make there, which says nothing when all is built."""
    if subprocess.run(["make", "-s", "-C", TOP / directory, *words], check=False,
                      stdout=sys.stderr).returncode:
        raise Failed("the benchmarks cannot be built", "read what make says")


def output(*command):
    """What a command prints, and what it says beside that."""
    words = [str(word) for word in command]
    try:
        run = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Failed(f"no program {words[0]}", "make deps") from error
    if run.returncode:
        raise Failed(f"{' '.join(words)} has failed: {run.stderr.strip()}", "run it by hand")
    return run.stdout, run.stderr


class Run(dict):
    """The metrics of a run, as numbers; some more about it as attributes."""

    def __init__(self, name, result):
        super().__init__((key, int(value)) for key, value in result.metrics.items())
        self.name, self.result, self.log = name, result, result.log

    def __missing__(self, key):
        raise Failed(f"{self.name}: no {key}: {self.why()}", f"read {self.log}")

    def why(self):
        return (self.result.why or ["it has not said why"])[0]

    def cut(self, phases):
        """Keeps the time line; the log is overwritten by the next run."""
        self["phases"] = timeline.phases({"log": self.log, "metrics": self}, phases)


class Progress:
    """A line on the standard error that says what runs, and then how long it took."""

    def __init__(self, name):
        self._start = time.monotonic()
        print(f"  {name}", file=sys.stderr, end="", flush=True)

    def done(self, more=""):
        seconds = time.monotonic() - self._start
        print(f"  {seconds:.0f} s{more}", file=sys.stderr, flush=True)


class Machine:
    """The machines of one part, and what their runs have brought, by name."""

    def __init__(self):
        self.runs = {}

    def vm(self, name, program, needs=None, phases=(), timeout=TIMEOUT, **fields):
        """One run, a Run; one of a name that was there is not made again.

        @program: of bench/vm, or a test of tests.list. @needs: metrics that are enough,
        whatever else is wrong; without it the run has to be good. @phases: as for
        timeline.phases(). @fields: as in vmlib.table.Spec.
        """
        if name in self.runs:
            return self.runs[name]
        spec = spec_of(program, timeout=timeout, quiet=timeout, **fields)
        progress = Progress(name)
        run = Run(name, runner.run(spec))
        progress.done("" if run.result.ok() else f"  {run.why()}")
        if needs is None and not run.result.ok():
            raise Failed(f"{name}: {run.why()}", f"read {run.log}")
        for metric in needs or ():
            run[metric]  # pylint: disable=pointless-statement
        if phases:
            run.cut(phases)
        self.runs[name] = run
        return run

    def demo(self, name, **options):
        """The demo's database, small or large: its metrics, which are seconds."""
        progress = Progress(name)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result = database.Act().play(argparse.Namespace(
                    plain=False, kernel="normal", icount=True, keep=False, **options))
        except SystemExit as error:
            raise Failed(f"{name} cannot be played", "do as it says above") from error
        progress.done()
        if not result.ok():
            raise Failed(f"{name}: {result.why[0]}", f"read {result.log}")
        self.runs[name] = result.metrics
        return result.metrics


def spec_of(program, kernel="normal", **fields):
    """What vmlib.runner is to run."""
    tests = table.load(TESTS)
    spec = table.spec(tests, program, kernel)
    if program not in tests:
        spec.program = str(PROGRAMS / program)
    for key, value in fields.items():
        if not hasattr(spec, key):
            raise AttributeError(f"vmlib.table.Spec has no {key}")
        setattr(spec, key, value)
    return spec


@functools.cache
def build():
    """Programs for the guest; quick when all is built."""
    make("bench", f"O={PROGRAMS}")
    try:
        runner.build("tools")
        runner.build("selftests/mm")
    except runner.SetupError as error:
        raise Failed(str(error), "read the log") from error


def require(kernels):
    """The images that a part needs: "normal", "stock"."""
    for name in kernels:
        if name in IMAGES and not IMAGES[name].exists():
            raise Failed(f"no {IMAGES[name]}", "make kernel stock")


def _said(*command):
    """A command's first line; nothing where it cannot be run."""
    try:
        run = subprocess.run(command, cwd=TOP, capture_output=True, text=True,
                             check=False)
    except OSError:
        return ""
    return (run.stdout.splitlines() or [""])[0]


def _version(image):
    """What a kernel image says of itself, and its content in short."""
    data = image.read_bytes()
    start = int.from_bytes(data[0x20e:0x210], "little") + 0x200
    text = data[start:data.index(b"\0", start)].decode(errors="replace")
    return f"{text.split(' ')[0]} {hashlib.sha256(data).hexdigest()[:12]}"


def _cpu():
    info = Path("/proc/cpuinfo").read_text(errors="replace")
    found = {key: re.search(rf"^{key}\s*: (.*)$", info, re.M)
             for key in ("model name", "flags")}
    return {"model": (found["model name"] or [""] * 2)[1],
            "flags": (found["flags"] or [""] * 2)[1],
            "number": os.cpu_count(), "kvm": qemu.kvm_usable()}


@functools.cache
def particulars():
    """What figures may depend on beside the code that is measured."""
    return {"commit": _said("git", "describe", "--always", "--dirty", "--abbrev=12"),
            "kernels": {name: _version(image) for name, image in IMAGES.items()
                        if image.exists()},
            "qemu": _said(qemu.PROGRAM, "--version"), "host": os.uname().release,
            "compiler": _said("cc", "--version"), "cpu": _cpu()}
