# SPDX-License-Identifier: GPL-2.0-only
"""What the person sees of an act, and whether the act can be believed."""

import sys


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(what, next_step):
    say(f"error: {what}\n  next: {next_step}")
    sys.exit(1)


class Screen:
    """Shows the guest's lines for a person, and a line that moves."""

    def __init__(self, rows, what):
        self._rows = rows
        self._what = what
        self._moving = sys.stdout.isatty()

    def line(self, text, _when):
        word, _, rest = text.partition(" ")
        if word == "SHOW":
            self._clear()
            print(rest.rstrip(), flush=True)
        elif word == "PROGRESS" and self._moving:
            done = int(rest)
            print(f"\r  loading {done:7,} of {self._rows:,} {self._what} "
                  f"({100 * done // self._rows:3} %)", end="", flush=True)

    def _clear(self):
        if self._moving:
            print("\r\033[K", end="")


def check_clock(result, mark):
    """The guest's blackout must agree with what the host sees of it."""
    marks = dict(result.marks)
    seen = marks[mark] - marks["reboot"]
    own = result.metrics["blackout_s"]
    if abs(seen - own) > 0.25 + 0.25 * seen:
        result.why.append(f"the guest's blackout is {own:.2f} s, the host saw "
                          f"{seen:.2f} s")
