# SPDX-License-Identifier: GPL-2.0-only
"""kbuild: the kernel's make for a few objects at a time, in an object directory for each
architecture and compiler. Used by check-configs and check-series."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hooks

TOP = Path(hooks.TOP)
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
CACHE = Path(os.environ.get("PRESERVE_CACHE") or
             Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preserve")
# The kernel's own name, the fragment, and the prefix of Debian's cross compiler.
ARCHES = {"x86": ("x86", "x86", "x86_64-linux-gnu-"),
          "i386": ("i386", "x86", "x86_64-linux-gnu-"),
          "arm64": ("arm64", "arm64", "aarch64-linux-gnu-")}
OLDEST_CLANG = 17
# What a compiler, kernel-doc, objtool, Kconfig and make say.
SAYS = re.compile(r"^(\S+?):(\d+)(:\d+)?: (warning|error|fatal error): |"
                  r"^(Warning|Error): (\S+?):(\d+) |"
                  r": warning: objtool: |^WARNING: |^\S*clang\S*: (warning|error): |"
                  r"Kconfig\S*:\d+:\s*warning: |^make.*\*\*\* ")


def quiet_end(main):
    """Runs a program: what its steps have said already needs no traceback."""
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as err:
        sys.exit(f"error: {Path(str(err.cmd[0])).name} failed")
    except KeyboardInterrupt:
        sys.exit(130)


def one_at_a_time(name):
    """Waits for another run in this clone. The lock lasts as long as what it returns."""
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = open(BUILD / f"{name}.lock", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("  another run is at it, waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _version_of(compiler):
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True,
                          check=False).stdout
    version = re.search(r"version (\d+)", text)
    return int(version[1]) if version else 0


def clang():
    """The newest clang that the kernel takes; None without one."""
    names = [name for name in ["clang"] + [f"clang-{n}" for n in range(OLDEST_CLANG, 40)]
             if shutil.which(name)]
    best = max(names, key=_version_of, default=None)
    return best if best and _version_of(best) >= OLDEST_CLANG else None


class Kbuild:
    """make in the object directory of an architecture and a compiler."""

    options = set()             # that a Kconfig of the tree has

    def __init__(self, tree, where, arch, compiler="gcc"):
        kernel_arch, _, prefix = ARCHES[arch]
        self.tree = tree
        self.code = f"arch/{'x86' if kernel_arch == 'i386' else kernel_arch}"
        self.output = where / f"{arch}-{compiler}"
        self.output.mkdir(parents=True, exist_ok=True)
        self.words = [f"ARCH={kernel_arch}"]
        if not prefix.startswith(os.uname().machine):
            self.words.append(f"CROSS_COMPILE={prefix}")
        self.env = {**os.environ, "LC_ALL": "C", "CCACHE_DEPEND": "1",
                    "CCACHE_DIR": str(CACHE / "ccache"), "CCACHE_BASEDIR": str(BUILD),
                    "CCACHE_NOHASHDIR": "1", "KBUILD_BUILD_TIMESTAMP": "1 Jan 1970"}
        for name in ("ARCH", "CROSS_COMPILE", "PRESERVE_CC", "MAKEFLAGS", "MFLAGS",
                     "MAKELEVEL"):
            self.env.pop(name, None)
        if compiler == "clang":
            self.env["PRESERVE_CC"] = clang()

    def make(self, log, *words):
        with open(log, "ab") as out:
            return subprocess.run(
                ["make", f"-j{os.cpu_count()}", "-k", "-C", self.tree,
                 f"O={self.output}", f"CC={TOP}/scripts/cc", *self.words, *words],
                env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                check=False).returncode

    def _of_directory(self, directory):
        """The objects and directories that the configuration has in one directory."""
        if not any(Path(self.tree, directory, name).exists()
                   for name in ("Kbuild", "Makefile")):
            return set()
        run = subprocess.run(
            ["make", "-s", "-f", TOP / "scripts/objects.mk", f"srctree={self.tree}",
             f"objtree={self.output}", f"DIR={directory}", *self.words],
            env=self.env, stdout=subprocess.PIPE, text=True, check=True)
        return {f"{directory}/{name}" for name in run.stdout.split()}

    def compile(self, log, names):
        """The exit status. All are compiled: what is up to date says nothing again."""
        for name in names:
            (self.output / name).unlink(missing_ok=True)
        return self.make(log, "W=1", *names) if names else 0

    def configure(self, text, wanted, log):
        """None, or which of the options @wanted have another value after all."""
        if self.make(log, "allnoconfig"):
            return "allnoconfig failed"
        with open(self.output / ".config", "a", encoding="utf-8") as out:
            out.write(text)
        if self.make(log, "olddefconfig"):
            return "olddefconfig failed"
        have = values((self.output / ".config").read_text())
        lost = [f"{name} is {have.get(name, 'n')}" for name, value in wanted.items()
                if have.get(name, "n") != value]
        return ", ".join(lost) or None

    def unknown(self, names):
        """Those that are an option of no Kconfig of the tree."""
        if not self.options:
            run = subprocess.run(
                ["git", "grep", "--no-index", "-hoE", r"^(menu)?config\s+\w+", "--",
                 "*Kconfig*"], cwd=self.tree, capture_output=True, text=True, check=True)
            self.options.update(line.split()[-1] for line in run.stdout.splitlines())
        return sorted(set(names) - self.options)

    def objects(self, paths):
        """Of these sources the objects that the configuration has. What lies in a
        directory that is off is left out."""
        found = set()
        for directory in sorted({os.path.dirname(path) for path in paths}):
            if self._has(directory):
                found |= self._of_directory(directory)
        return sorted(name for name in found if name[:-1] + "c" in paths)

    def _has(self, directory):
        """Is it reached from the Makefiles above it? The tree's own names the
        directory of the architecture, and none of what is not the kernel's."""
        if directory.startswith(("tools/", "samples/", "Documentation/")):
            return False
        while "/" in directory and directory != self.code:
            parent = os.path.dirname(directory)
            if f"{directory}/" not in self._of_directory(parent):
                return False
            directory = parent
        return True


def values(text):
    """Option -> value of a configuration or a fragment; the last one counts."""
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.M))


def fragments(arch, debug=False):
    """The text of an architecture's fragments, without or with those of the debug kernel."""
    names = ["kernel", ARCHES[arch][1], "preserve"]
    names += ["debug", f"debug-{ARCHES[arch][1]}"] * debug
    return "\n".join((TOP / f"configs/{name}.config").read_text() for name in names)


def fetched():
    """The kernel source as it came."""
    source = subprocess.run([TOP / "scripts/fetch-linux"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.strip()
    if Path(source, ".config").exists() or Path(source, "include/config").exists():
        hooks.die(f"{source} has been built in; the kernel cannot be built outside of it",
                  "run 'make mrproper' there")
    return source


def our_sources():
    return {path for path in hooks.our_files()
            if path.endswith(".c") and path.startswith(("mm/", "lib/", "virt/", "fs/"))}


def hooked_sources():
    return {path for patch in hooks.patches() for path in patch.files if path.endswith(".c")}


def said(log, start=0):
    """Lines of a log, from a byte of it on, that are errors or warnings."""
    text = log.read_bytes()[start:].decode(errors="replace")
    return [line for line in text.splitlines() if SAYS.search(line)]
