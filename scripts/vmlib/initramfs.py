# SPDX-License-Identifier: GPL-2.0-only
"""Puts an initial file system together, in the cpio format the kernel reads.

An image is named by the hash of all that is in it, so the same content is
written once. It is not compressed: under emulation, unpacking costs more than
copying.
"""

import contextlib
import hashlib
import os
import stat
import subprocess
import threading
from pathlib import Path

DIRECTORIES = ("proc", "sys", "dev", "tmp", "run", "etc", "root", "vm/next")
KEEP_IMAGES = 24


class Initramfs:
    """A set of paths and what they hold."""

    def __init__(self):
        self._entries = {}
        for name in DIRECTORIES:
            self.add_directory(name)
        self._put("dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))

    def _put(self, name, mode, data, device=(0, 0)):
        name = name.strip("/")
        parent = os.path.dirname(name)
        if parent:
            self.add_directory(parent)
        self._entries[name] = (mode, data, device)

    def add_directory(self, name):
        name = name.strip("/")
        if name not in self._entries:
            self._put(name, stat.S_IFDIR | 0o755, b"")

    def add_text(self, name, text):
        self._put(name, stat.S_IFREG | 0o644, text.encode())

    def add_file(self, source, name):
        source = Path(source)
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._put(name, stat.S_IFREG | mode, source.read_bytes())

    def add_program(self, source, name=None):
        """Adds a program with the shared libraries that it asks for."""
        source = Path(source)
        self.add_file(source, name or str(source.absolute()))
        for library in shared_libraries(source):
            self.add_file(library, library)

    def add_tree(self, source, name):
        """Adds a directory with all directories and regular files below it."""
        source = Path(source)
        if not source.is_dir():
            raise FileNotFoundError(f"no directory {source}")
        for directory, _, files in os.walk(source):
            inside = os.path.join(name, os.path.relpath(directory, source))
            self.add_directory(os.path.normpath(inside))
            for entry in files:
                self.add_file(Path(directory, entry),
                              os.path.normpath(os.path.join(inside, entry)))

    def _cpio(self):
        """The archive's parts, in order: a directory before what is in it."""
        for number, name in enumerate(sorted(self._entries), 1):
            mode, data, device = self._entries[name]
            yield _header(number, mode, len(data), device, name)
            yield data + b"\0" * (-len(data) % 4)
        yield _header(0, 0, 0, (0, 0), "TRAILER!!!")

    def write(self, directory):
        """Writes the image unless it is there. Gives its path."""
        digest = hashlib.sha256()
        for part in self._cpio():
            digest.update(part)
        path = Path(directory) / f"{digest.hexdigest()[:16]}.cpio"
        if path.exists():
            path.touch()
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with open(temporary, "wb") as out:
            out.writelines(self._cpio())
        temporary.replace(path)
        _forget_old(path.parent)
        return path


def _header(number, mode, size, device, name):
    fields = (number, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, size,
              0, 0, device[0], device[1], len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields)
    head += name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4)


def _forget_old(directory):
    """Somebody else may be at it at the same time."""
    images = []
    for image in directory.glob("*.cpio"):
        with contextlib.suppress(FileNotFoundError):
            images.append((image.stat().st_mtime, image))
    for _, image in sorted(images)[:-KEEP_IMAGES]:
        image.unlink(missing_ok=True)


def shared_libraries(program):
    """Paths of the libraries and the loader; none for a static program."""
    run = subprocess.run(["ldd", str(program)], capture_output=True, text=True,
                         check=False)
    found = []
    for line in run.stdout.splitlines():
        words = line.split()
        if "=>" in words and words[words.index("=>") + 1] == "not":
            raise FileNotFoundError(f"{program} needs {words[0]}")
        found += [word for word in words if word.startswith("/")][:1]
    return found
