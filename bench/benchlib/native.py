# SPDX-License-Identifier: GPL-2.0-only
"""Runs the benchmarks of bench/native on this machine, without a kernel of ours."""

import functools
import json
import re

from benchlib import machine

PROGRAMS = machine.runner.BUILD / "native"


@functools.cache
def build():
    machine.make(".", "-f", "lib/preserve-radix/native.mk", "bench-programs",
                 f"BUILD={machine.runner.BUILD}")


def lines(program, *words):
    """The JSON lines of a program."""
    return [json.loads(line) for line
            in machine.output(PROGRAMS / program, *words)[0].splitlines()]


def instructions(program, *words):
    """How many of them a program takes, all in all, counted by callgrind."""
    said = machine.output("valgrind", "--tool=callgrind",
                          "--callgrind-out-file=/dev/null", PROGRAMS / program, *words)[1]
    return int(re.search(r"Collected : *(\d+)", said)[1])
