# SPDX-License-Identifier: GPL-2.0-only
"""What differs from one architecture's virtual machine to the other's.

The environment's ARCH chooses, as it does for the kernel; without it, it is this
machine's own.
"""

import dataclasses
import os
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
HOST = {"x86_64": "x86", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


@dataclasses.dataclass(frozen=True)
class Arch:
    """One architecture."""
    name: str
    qemu: str                   # the program
    image: str                  # the file name of a kernel
    build: Path                 # where its kernels and programs are
    objects: str                # what the names of its object directories begin with
    cross: str                  # the compiler's prefix on a machine of another kind
    machine: tuple              # QEMU's words
    cpu: str                    # emulated
    exact_cpu: str              # emulated, when instructions are counted
    words: str                  # for the kernel's command line
    port: tuple                 # QEMU's words for the second serial port

    def prefix(self):
        """The compiler's prefix here."""
        return "" if self.name == HOST else self.cross

    def kernel(self, variant):
        """Where build-kernel leaves a variant."""
        where = self.build if variant == "normal" else self.build / variant
        return where / self.image

    def system_map(self, variant):
        return BUILD / f"obj/{self.objects}{variant}/System.map"


# On a busy host the emulated timer comes too late for the kernel's test of it:
# no_timer_check leaves that out, as the kernel does by itself under KVM. tsc=nowatchdog: on
# a busy host, about one boot in 70 of the stock kernel stands still in the clocksource
# watchdog; README.md beside this file has the story. An NMI, by which the harness ends a
# machine that stands still, makes the kernel print the backtraces of all CPUs.
#
# Without erms and fsrm the kernel clears pages word by word, which TCG does in a quarter of
# the time; figures in instructions keep the string instructions. The firmware's tables say
# nothing of PCI slots that nothing is plugged into: reading them took the debug kernel a
# second at each boot.
X86 = Arch(
    name="x86", qemu="qemu-system-x86_64", image="bzImage", build=BUILD, objects="",
    cross="x86_64-linux-gnu-",
    machine=("-global", "PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off",
             "-global", "PIIX4_PM.acpi-root-pci-hotplug=off"),
    cpu="max,-erms,-fsrm", exact_cpu="max",
    words="console=ttyS0,115200 no_timer_check tsc=nowatchdog unknown_nmi_panic "
          "preserve.port=ttyS1",
    port=("-serial", "chardev:port"))

# The machine "virt" has one serial port of its own. The kernel runs at EL2, as on a host of
# KVM guests. Pointer authentication by the architecture's own cipher takes TCG half of its
# time.
ARM64 = Arch(
    name="arm64", qemu="qemu-system-aarch64", image="Image", build=BUILD / "arm64",
    objects="arm64-", cross="aarch64-linux-gnu-",
    machine=("-machine", "virt,gic-version=3,virtualization=on,mte=on"),
    cpu="max,pauth-impdef=on", exact_cpu="max,pauth-impdef=on",
    words="console=ttyAMA0,115200 preserve.port=ttyS0",
    port=("-device", "pci-serial,chardev=port"))

ARCHES = {"x86": X86, "x86_64": X86, "arm64": ARM64, "aarch64": ARM64}
if os.environ.get("ARCH", "") not in ("", *ARCHES):
    raise SystemExit(f"error: nothing is known of the architecture {os.environ['ARCH']}\n"
                     "  next: ARCH=x86 or ARCH=arm64")
CHOSEN = ARCHES.get(os.environ.get("ARCH") or HOST, X86)
