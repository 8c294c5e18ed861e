# SPDX-License-Identifier: GPL-2.0-only
"""How long tests take: which to start first, and which to look at.

The last times are kept beside the compiler cache. Long tests start first, so that no
CPU is idle while the last one runs.
"""

import contextlib
import json
import os
from pathlib import Path

UNKNOWN = 3600                  # a test that has never run starts first
SHOWN = 12


def cache():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PRESERVE_CACHE") or Path(home, "preserve"))


def last(path):
    """Label of a run -> its seconds the last time."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        return {str(label): float(seconds) for label, seconds
                in json.loads(path.read_text()).items()}
    return {}


def longest_first(specs, path):
    known = last(path)
    return sorted(specs, key=lambda spec: -known.get(spec.label(), UNKNOWN))


def remember(results, path):
    """A cache that cannot be written is no reason to fail."""
    with contextlib.suppress(OSError):
        _write(results, path)


def _write(results, path):
    known = last(path)
    known.update((result.spec.label(), round(result.seconds, 1))
                 for result in results)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(known, indent=0, sort_keys=True))
    temporary.replace(path)


def table(results, wall):
    """Lines: what took how long, the slowest first."""
    by_time = sorted(results, key=lambda result: -result.seconds)
    yield (f"{len(results)} tests, {sum(r.seconds for r in results):.0f} s of "
           f"machines in {wall:.0f} s; the slowest:")
    for result in by_time[:SHOWN]:
        yield (f"{result.seconds:7.0f} s  {result.spec.name} "
               f"({result.spec.kernel})")
