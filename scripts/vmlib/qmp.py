# SPDX-License-Identifier: GPL-2.0-only
"""Speaks with a running QEMU: the part of its machine protocol that we need."""

import json
import socket
import time


TIMEOUT = 120.0                 # seconds; it answers at once, once it has started


class QmpError(Exception):
    """QEMU refuses, does not answer, or is gone."""


class Qmp:
    """One connection, over a socket that QEMU has the other end of."""

    def __init__(self, sock):
        self._sock = sock
        self._rest = b""
        self._seen = []                 # events that nobody has asked for yet

    def fileno(self):
        return self._sock.fileno()

    def close(self):
        self._sock.close()

    def _receive(self, timeout):
        """The messages that have come, waiting for some; none when time is over."""
        self._sock.settimeout(max(timeout, 0.001))
        try:
            data = self._sock.recv(65536)
        except socket.timeout:
            return []
        except OSError as error:
            raise QmpError(f"QEMU is gone ({error.strerror})") from error
        if not data:
            raise QmpError("QEMU is gone")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def greet(self):
        """The first words; QEMU says its own before."""
        self.command("qmp_capabilities")

    def command(self, name, timeout=TIMEOUT, **arguments):
        """What QEMU returns."""
        message = {"execute": name}
        if arguments:
            message["arguments"] = {key.replace("_", "-"): value
                                    for key, value in arguments.items()}
        try:
            self._sock.settimeout(timeout)
            self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"QEMU is gone ({error.strerror})") from error
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            answers = self._receive(end - time.monotonic())
            self._seen += [answer for answer in answers if "event" in answer]
            for answer in answers:
                if "error" in answer:
                    raise QmpError(answer["error"].get("desc", name))
                if "return" in answer:
                    return answer["return"]
        raise QmpError(f"QEMU does not answer {name}")

    def monitor(self, line, cpu=None):
        """What QEMU's monitor for people says to a line."""
        more = {} if cpu is None else {"cpu_index": cpu}
        return self.command("human-monitor-command", command_line=line, **more)

    def events(self, timeout=0.0):
        """The events that have come, waiting up to @timeout seconds for one."""
        if not self._seen:
            self._seen += [answer for answer in self._receive(timeout)
                           if "event" in answer]
        events, self._seen = self._seen, []
        return events
