# SPDX-License-Identifier: GPL-2.0-only
"""Names for the addresses of a kernel that lies at a random place.

System.map has the addresses that the kernel was linked for. Where it lies in fact
follows from the interrupt table: its entry for page faults names a known function.
"""

import bisect
import re
from pathlib import Path

from .arch import CHOSEN
from .table import KERNELS

PAGE_FAULT = 14
# What the entry points to from early boot on, and an offset into it: every early
# handler has nine bytes (thirteen with a landing pad in front).
HANDLERS = (("asm_exc_page_fault", 0),
            ("early_idt_handler_array", 9 * PAGE_FAULT),
            ("early_idt_handler_array", 13 * PAGE_FAULT))
ALIGN = 0x200000
TEXT = range(0xffffffff80000000, 0xffffffffc0000000)
LINE = re.compile(r"^([0-9a-f]{16}) [TtWw] (\S+)$", re.M)


class Symbols:
    """One kernel's functions."""

    def __init__(self, text):
        self._names = sorted((int(address, 16), name)
                             for address, name in LINE.findall(text))
        self._starts = [address for address, _ in self._names]
        self._by_name = {name: address for address, name in self._names}
        self.offset = None

    def locate(self, handler):
        """Takes the offset from the page fault handler's address, if it fits."""
        for name, inside in HANDLERS:
            linked = self._by_name.get(name)
            if linked is None:
                continue
            offset = handler - linked - inside
            if offset >= 0 and offset % ALIGN == 0:
                self.offset = offset
                return True
        return False

    def name(self, address):
        """NAME+OFFSET, or "" for what is no code of the kernel."""
        if self.offset is None or address not in TEXT:
            return ""
        address -= self.offset
        at = bisect.bisect_right(self._starts, address) - 1
        end = self._by_name.get("_etext", TEXT.stop)
        if at < 0 or address >= end:
            return ""
        start, name = self._names[at]
        return f"{name}+{address - start:#x}"


def of_image(image, arch=CHOSEN):
    """The symbols of a kernel that we have built; None for another."""
    for variant in KERNELS:
        path = arch.system_map(variant)
        if arch.kernel(variant) == Path(image) and path.is_file():
            return Symbols(path.read_text())
    return None
