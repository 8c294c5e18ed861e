# SPDX-License-Identifier: GPL-2.0-only
"""Tests of how the harness speaks with QEMU."""

import socket
import unittest

from vmlib import qmp

RETURN = b'{"return": 7}\r\n'
SHUTDOWN = b'{"event": "SHUTDOWN", "data": {"reason": "guest-reset"}}\r\n'


class Qmp(unittest.TestCase):
    def setUp(self):
        ours, self.qemu = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.qemu.close)
        self.qmp = qmp.Qmp(ours)

    def names(self):
        return [event["event"] for event in self.qmp.events()]

    def test_an_answer_in_pieces(self):
        self.qemu.sendall(b'{"QMP": {}}\r\n' + RETURN[:5])
        self.assertEqual(self.names(), [])
        self.qemu.sendall(RETURN[5:])
        self.assertEqual(self.qmp.command("x"), 7)

    def test_events_around_an_answer_are_kept(self):
        self.qemu.sendall(SHUTDOWN + RETURN + SHUTDOWN)
        self.assertEqual(self.qmp.command("x"), 7)
        self.assertEqual(self.names(), ["SHUTDOWN", "SHUTDOWN"])
        self.assertEqual(self.names(), [])

    def test_words_with_dashes(self):
        self.qemu.sendall(RETURN)
        self.qmp.monitor("info registers", cpu=1)
        self.assertIn(b'"cpu-index": 1', self.qemu.recv(4096))

    def test_errors(self):
        self.qemu.sendall(b'{"error": {"desc": "no such thing"}}\r\n')
        with self.assertRaisesRegex(qmp.QmpError, "no such thing"):
            self.qmp.command("x")
        with self.assertRaisesRegex(qmp.QmpError, "does not answer"):
            self.qmp.command("x", timeout=0.01)
        self.qemu.close()
        with self.assertRaisesRegex(qmp.QmpError, "gone"):
            self.qmp.command("x")


if __name__ == "__main__":
    unittest.main()
