#!/usr/bin/env python3
"""gyre inside another event loop: the same server, whoever its host is. Takes the programs as arguments."""
import select
import signal
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True

from echo_process import EchoProcess, PATIENCE_S, closing_all, ping

BINARIES = []


class Embedded(unittest.TestCase):
    def test_serves_many_and_stops_when_its_host_is_told(self):
        for binary in BINARIES:
            with self.subTest(binary), EchoProcess(binary, port="0") as server, closing_all() as clients:
                for _ in range(50):
                    clients.append(server.connect())
                for client in clients:
                    client.sendall(b"x" * 100_000)
                for client in clients:
                    with client.makefile("rb") as stream:
                        self.assertEqual(len(stream.read(100_000)), 100_000)
                for _ in range(200):
                    ping(clients[-1])
                code, out, _ = server.stop(signal.SIGINT)
                self.assertEqual((code, out), (0, "stopped\n"))

    def test_an_idle_guest_leaves_its_host_asleep(self):
        for binary in BINARIES:
            with self.subTest(binary), EchoProcess(binary, port="0") as server, server.connect() as client:
                ping(client)
                before_s = server.cpu_s()
                select.select([], [], [], 0.5)
                self.assertLess(server.cpu_s() - before_s, 0.25)
                self.assertEqual(server.stop()[0], 0)

    def test_an_error_of_the_guest_ends_its_host(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            for binary in BINARIES:
                port = str(other.getsockname()[1])
                done = subprocess.run([binary, port], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(port, done.stdout)


if __name__ == "__main__":
    BINARIES = sys.argv[1:]
    unittest.main(argv=sys.argv[:1])
