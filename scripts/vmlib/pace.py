# SPDX-License-Identifier: GPL-2.0-only
"""A clock that runs as fast as this machine does at the moment.

Limits for virtual machines are meant in seconds of a machine that has nothing else
to do and the speed of the one on which they were chosen. Every few seconds a thread
takes the time of a fixed piece of work; where that takes three times as long as it
should, because the machine is slow or others use it, a second of this clock is three.
A fast machine does not make limits shorter.
"""

import random
import threading
import time
import zlib

# Takes EXPECTED seconds of a core of the machine on which the limits were chosen.
ROUNDS = 16
EXPECTED = 0.08
PERIOD = 8


def _sample():
    """Text that compresses as text does."""
    rand = random.Random(1)
    words = [bytes(rand.choices(b"abcdefghijklmnop", k=rand.randint(2, 9)))
             for _ in range(400)]
    return b" ".join(rand.choices(words, k=20000))


def measure(sample):
    """How many times longer than expected the work takes now; 1 at least."""
    start = time.monotonic()
    for _ in range(ROUNDS):
        zlib.compress(sample, 6)
    return max((time.monotonic() - start) / EXPECTED, 1.0)


class Clock:
    """Seconds of work since it was made; for any number of threads."""

    def __init__(self, slowness=None, wall=time.monotonic):
        """@slowness replaces the measurements, @wall the time: for tests."""
        self._wall = wall
        self._lock = threading.Lock()
        self._sum, self._last = 0.0, wall()
        self._sample = _sample()
        self._slowness = slowness or measure(self._sample)
        if not slowness:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            time.sleep(PERIOD)
            self.set_slowness(measure(self._sample))

    def set_slowness(self, slowness):
        with self._lock:
            self._advance()
            self._slowness = slowness

    def slowness(self):
        return self._slowness

    def _advance(self):
        now = self._wall()
        self._sum += (now - self._last) / self._slowness
        self._last = now

    def now(self):
        with self._lock:
            self._advance()
            return self._sum


_LOCK = threading.Lock()
_CLOCKS = []


def clock():
    """The one of this process; for any thread."""
    with _LOCK:
        if not _CLOCKS:
            _CLOCKS.append(Clock())
        return _CLOCKS[0]
