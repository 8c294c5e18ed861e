#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""test_kernel_abi: what kernel-abi finds in images. Run it, or unittest it."""

import gzip
import importlib.machinery
import importlib.util
import lzma
import struct
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
WHERE = str(Path(__file__).resolve().parent / "kernel-abi")
LOADER = importlib.machinery.SourceFileLoader("kernel_abi", WHERE)
abi = importlib.util.module_from_spec(importlib.util.spec_from_loader("kernel_abi", LOADER))
LOADER.exec_module(abi)

TEXT = "header 4\nmap 1\n"


def a_note(text, name=b"Preserve\0", kind=1):
    desc = text.encode() + b"\0"
    return (struct.pack("<III", len(name), len(desc), kind) + name + b"\0" * (-len(name) % 4) +
            desc + b"\0" * (-len(desc) % 4))


def bzimage(packed):
    image = bytearray(0x1000)
    image[0x1f1] = 3
    image[0x202:0x206] = b"HdrS"
    image[0x248:0x250] = struct.pack("<II", 0x1000 - 4 * 512, len(packed))
    return bytes(image) + packed + b"behind"


class Notes(unittest.TestCase):
    def test_a_note_is_found_among_others(self):
        image = b"\x7fELF" + a_note("x", b"Linux\0") + a_note(TEXT) + b"more"
        self.assertEqual(abi.note(image), TEXT)

    def test_the_name_alone_is_no_note(self):
        self.assertIsNone(abi.note(b"Preserve\0" + b"some text that speaks of Preserve\0"))
        self.assertIsNone(abi.note(a_note(TEXT, kind=2)))
        self.assertIsNone(abi.note(b""))


class Images(unittest.TestCase):
    def test_an_image_that_is_not_packed(self):
        self.assertEqual(abi.payload(b"\x7fELF and so on"), b"\x7fELF and so on")

    def test_what_cannot_be_read_is_not_taken_for_nothing(self):
        for image in (bzimage(b"\x02\x21LZ4 or so"), b"MZ\0\0zimg" + b"\0" * 99):
            with self.assertRaises(ValueError):
                abi.payload(image)

    def test_what_a_bzimage_packs(self):
        for pack in (gzip.compress, lzma.compress):
            image = bzimage(pack(a_note(TEXT)) + b"\0\0\0\0")
            self.assertEqual(abi.note(abi.payload(image)), TEXT)


if __name__ == "__main__":
    unittest.main()
