#!/usr/bin/env python3
"""What a user meets first: flags, the port, stopping."""
import re
import select
import signal
import socket
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True

from echo_process import EchoProcess, PATIENCE_S, closing_all, ping

BINARY = ""


def run(*flags):
    return subprocess.run([BINARY, *flags], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


class Flags(unittest.TestCase):
    def test_help_names_every_flag(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for flag in ("--address", "--port", "--loops", "--backend", "--grace"):
            self.assertIn(flag, done.stdout)

    def test_a_bad_flag_gets_one_line_that_says_what_was_expected(self):
        for flag, expected in (
            ("--port=70000", "a number from 0 to 65535"),
            ("--port=", "a number"),
            ("--port=-1", "a number"),
            ("--port=1x", "a number"),
            ("--loops=0", "a number from 1"),
            ("--grace=10", "a duration"),
            ("--grace=-1s", "a duration"),
            ("--backend=kqueue", "auto, epoll or io_uring"),
            ("--address=localhost", "an IPv4 or IPv6 address"),
            ("--colour=red", "--port"),
            ("--port", "a value"),
            ("7777", "--port"),
        ):
            with self.subTest(flag):
                done = run(flag)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertIn(expected, done.stderr)

    def test_a_port_in_use_is_an_error_that_names_it(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            done = run(f"--port={port}")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn(f"127.0.0.1:{port}", done.stderr)

    def test_a_port_in_use_ends_several_loops_too(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            done = run(f"--port={other.getsockname()[1]}", "--loops", "3")
        self.assertEqual(done.returncode, 1)

    def test_epoll_can_be_asked_for(self):
        with EchoProcess(BINARY, "--backend", "epoll") as server, server.connect() as client:
            ping(client)

    def test_io_uring_serves_or_says_why_not(self):
        try:
            with EchoProcess(BINARY, "--backend=io_uring") as server, server.connect() as client:
                ping(client)
        except AssertionError:
            done = run("--port=0", "--backend=io_uring")
            self.assertEqual(done.returncode, 1)
            self.assertIn("io_uring", done.stderr)


class Stopping(unittest.TestCase):
    def test_both_signals_end_an_idle_server_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), EchoProcess(BINARY, "--grace=1h") as server:
                code, out, _ = server.stop(number)
                self.assertEqual((code, out), (0, "stopped: 0 served, 0 cut off\n"))

    def test_a_signal_at_any_moment_of_the_start_ends_every_loop(self):
        for step in range(40):
            process = subprocess.Popen([BINARY, "--port=0", "--loops=4"], stdout=subprocess.DEVNULL)
            try:
                select.select([], [], [], step * 0.0005)
                process.send_signal(signal.SIGTERM)
                # Before main watches signals, the system's own answer holds.
                self.assertIn(process.wait(PATIENCE_S), (0, -signal.SIGTERM))
            finally:
                process.kill()
                process.wait()

    @staticmethod
    def wait_until_refused(server):
        while True:  # the listeners close; until then a connection may still slip in
            try:
                server.connect().close()
            except OSError:
                return

    def test_a_connection_may_finish_within_the_grace_time(self):
        with EchoProcess(BINARY, "--grace=1h") as server, server.connect() as client:
            ping(client)
            server.process.send_signal(signal.SIGTERM)
            self.wait_until_refused(server)
            ping(client, b"still here")
            client.close()
            out, _ = server.process.communicate(timeout=PATIENCE_S)
            self.assertEqual(server.process.returncode, 0)
            self.assertRegex(out, r"^stopped: \d+ served, 0 cut off")

    def test_one_that_does_not_finish_is_cut_off_and_reported(self):
        with EchoProcess(BINARY, "--grace=100ms") as server, server.connect() as client:
            ping(client)
            code, out, took_s = server.stop()
            self.assertEqual((code, out), (0, "stopped: 0 served, 1 cut off\n"))
            self.assertGreaterEqual(took_s, 0.1)
            self.assertEqual(client.recv(1), b"")

    def test_the_late_are_named_whatever_their_loop(self):
        with EchoProcess(BINARY, "--loops=3", "--grace=100ms") as server, closing_all() as clients:
            for _ in range(10):
                clients.append(server.connect())
                ping(clients[-1])
            server.process.send_signal(signal.SIGTERM)
            out, err = server.process.communicate(timeout=PATIENCE_S)
            self.assertEqual(out, "stopped: 0 served, 10 cut off\n")
            named = re.findall(r"^late: (\S+) on loop [0-2]$", err, re.M)
            self.assertEqual(sorted(named), sorted("%s:%d" % client.getsockname() for client in clients))

    def test_a_second_signal_ends_the_grace_time_on_every_loop(self):
        with EchoProcess(BINARY, "--loops=3", "--grace=1h") as server, closing_all() as clients:
            for _ in range(10):
                clients.append(server.connect())
                ping(clients[-1])
            server.process.send_signal(signal.SIGTERM)
            self.wait_until_refused(server)
            for client in clients:
                ping(client, b"still here")
            code, out, _ = server.stop(signal.SIGINT)
            self.assertEqual(code, 0)
            self.assertRegex(out, r"^stopped: \d+ served, 10 cut off")

    def test_several_loops_share_a_port_and_add_up(self):
        with EchoProcess(BINARY, "--loops=3", "--grace=100ms") as server, closing_all() as clients:
            for number in range(60):
                clients.append(server.connect())
                ping(clients[-1], b"%d" % number)
            for client in clients[:50]:
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(client.recv(1), b"")
            code, out, _ = server.stop()
            self.assertEqual((code, out), (0, "stopped: 50 served, 10 cut off\n"))


if __name__ == "__main__":
    BINARY = sys.argv.pop(1)
    unittest.main()
