# SPDX-License-Identifier: GPL-2.0-only
"""The options of a test's VM, and the table of tests that names them."""

import configparser
import dataclasses
from pathlib import Path

from .arch import CHOSEN

# By what it costs to have one. A test belongs to the costliest that it goes through.
KERNELS = ("normal", "stock", "debug", "wide", "pages64k", "older")
# Those that a run without a choice goes through. Each of the others is a kernel more to
# build, the older release a source of its own to fetch.
USUAL = ("normal", "stock", "debug")
LISTS = ("next_append", "next_kernel", "expect", "file", "program_file",
         "directory")
WORDS = {"kernels": KERNELS, "arches": ("x86", "arm64")}
SWITCHES = ("icount", "kmemleak", "arm64")
NUMBERS = ("cpus", "numa", "memoryless", "stages", "quiet", "timeout")


@dataclasses.dataclass
class Spec:
    """One run of one test."""
    name: str
    program: str = ""
    args: str = ""
    kernel: str = "normal"
    kernels: tuple = ("normal", "debug")
    arches: tuple = ("x86", "arm64")
    next_kernel: list = dataclasses.field(default_factory=list)
    memory: str = ""
    cpus: int = 2
    numa: int = 1
    memoryless: int = 0
    icount: bool = False
    kmemleak: bool = False
    arm64: bool = False
    disk: str = ""
    append: str = ""
    next_append: list = dataclasses.field(default_factory=list)
    stages: int = 1
    quiet: int = 0
    timeout: int = 0
    expect: list = dataclasses.field(default_factory=list)
    file: list = dataclasses.field(default_factory=list)
    program_file: list = dataclasses.field(default_factory=list)
    directory: list = dataclasses.field(default_factory=list)
    long: bool = False

    def all_kernels(self):
        return {self.kernel, *self.next_kernel}

    def has_debug(self):
        return "debug" in self.all_kernels()

    def part(self):
        """The kernel whose run it belongs to."""
        return max(self.all_kernels() & {*KERNELS}, key=KERNELS.index)

    def kernel_at(self, stage):
        """The last one named counts for all stages after it."""
        if not stage or not self.next_kernel:
            return self.kernel
        return self.next_kernel[min(stage, len(self.next_kernel)) - 1]

    def append_at(self, stage):
        if not stage or not self.next_append:
            return self.append
        return self.next_append[min(stage, len(self.next_append)) - 1]

    def label(self):
        kernel = self.kernel
        if kernel not in KERNELS:
            kernel = "other"
        return f"{self.name}-{kernel}{'-long' if self.long else ''}"


class TableError(Exception):
    """The table says something that it cannot mean."""


def _value(key, text):
    if key in NUMBERS:
        return int(text)
    if key in WORDS:
        return tuple(text.split())
    if key in LISTS:
        # An empty line of a list is an empty value: "" says so.
        return [line.strip().replace('""', "") for line in text.splitlines()
                if line.strip()]
    if key in SWITCHES:
        return text.strip() in ("yes", "true", "1")
    return " ".join(text.split())


def _split(key):
    """[long.][KERNEL.]KEY: whether it is for long runs, the kernel, the field."""
    *owners, field = key.replace("-", "_").split(".")
    long = owners[:1] == ["long"]
    return long, ".".join(owners[long:]), field


def _alike(sections, name, path, before=()):
    """The keys of a section, on top of those of the section that it is like."""
    own = dict(sections[name])
    other = own.pop("like", None)
    if other is None:
        return own
    if other not in sections:
        raise TableError(f"{path}: [{name}] is like [{other}], which is not there")
    # What one is marked for, the other is not.
    own.setdefault("arm64", "no")
    before = (*before, name)
    if other in before:
        raise TableError(f"{path}: [{other}] is like itself: {', '.join(before)}")
    return {"program": other, **_alike(sections, other, path, before), **own}


def load(path):
    """Name -> section of the table, each complete, checked for unknown keys."""
    parser = configparser.ConfigParser(interpolation=None,
                                       delimiters=("=",),
                                       comment_prefixes=("#",))
    parser.read_string(Path(path).read_text())
    fields = {field.name for field in dataclasses.fields(Spec)} - {"long"}
    table = {}
    for name in parser.sections():
        table[name] = _alike(parser, name, path)
        for key in table[name]:
            _, kernel, field = _split(key)
            if field not in fields or kernel not in ("", *KERNELS):
                raise TableError(f"{path}: [{name}] has unknown key {key}")
            if field in WORDS and not {*table[name][key].split()} <= {*WORDS[field]}:
                raise TableError(f"{path}: [{name}] has an unknown word: {key} = "
                                 f"{table[name][key]}")
    return table


def spec(table, name, kernel="normal", long=False):
    """What to run for a name on a kernel; a more special key wins, and one without a
    value stands for the default."""
    section = table.get(name, {})
    default = Spec(name=name, kernel=kernel, long=long)
    result = dataclasses.replace(default)
    for owner in ((False, ""), (False, kernel), (True, ""), (True, kernel)):
        for key, text in section.items():
            *key_owner, field = _split(key)
            if tuple(key_owner) == owner and (long or not owner[0]):
                setattr(result, field, _value(field, text) if text.strip()
                        else getattr(default, field))
    result.program = result.program or name
    result.memory = result.memory or ("3G" if result.has_debug() else "1G")
    return result


def specs(table, parts=KERNELS, names=(), long=False):
    """All runs of the parts on the chosen architecture; the long ones are those that have
    a key for it."""
    for name in names or table:
        if long and not any(_split(key)[0] for key in table[name]):
            continue
        for kernel in KERNELS:
            one = spec(table, name, kernel, long)
            if kernel in one.kernels and one.part() in parts and \
                    CHOSEN.name in one.arches:
                yield one
