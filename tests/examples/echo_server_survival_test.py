#!/usr/bin/env python3
"""What the network does to a server: resets, half messages, more clients than descriptors, peers that never read."""
import select
import signal
import statistics
import sys
import time
import unittest

sys.dont_write_bytecode = True

from echo_process import EchoProcess, PATIENCE_S, closing_all, ping, raise_own_fd_limit, reset, wait_until

BINARY = ""

MB = 1 << 20
IS_SANITIZED = False  # memory then is the sanitizer's: its size says nothing


class Survival(unittest.TestCase):
    def test_it_serves_on_after_10000_connections_that_are_reset(self):
        with EchoProcess(BINARY) as server, server.connect() as witness:
            ping(witness)
            fds = server.fd_count()
            for _ in range(100):
                batch = [server.connect() for _ in range(100)]
                for client in batch:
                    reset(client)
                ping(witness)
            wait_until(lambda: server.fd_count() <= fds, "every descriptor is back")
            self.assertEqual(server.fd_count(), fds)
            with server.connect() as client:
                ping(client)

    def test_clients_that_die_in_the_middle_of_a_message_harm_nobody(self):
        with EchoProcess(BINARY) as server, server.connect() as witness:
            ping(witness)
            fds = server.fd_count()
            for _ in range(20):
                batch = [server.connect() for _ in range(25)]
                for client in batch:
                    client.setblocking(False)
                    client.send(b"x" * 100_000)  # as much as fits; nothing of the echo is read
                for client in batch:
                    reset(client)
                ping(witness)
            wait_until(lambda: server.fd_count() <= fds, "every descriptor is back")
            ping(witness)

    def test_a_peer_that_never_reads_costs_one_buffer(self):
        with EchoProcess(BINARY) as server, server.connect() as witness, server.connect() as flood:
            ping(witness)
            ping(flood)
            before = server.rss_bytes()
            flood.setblocking(False)
            sent = self.send_until_stuck(flood, 64 * MB)
            self.assertLess(sent, 64 * MB, "the server took what it could not send back")
            if not IS_SANITIZED:
                self.assertLess(server.rss_bytes() - before, 8 * MB)
            ping(witness, b"w" * 1000)
            # What was sent comes back to the last byte once the peer reads.
            self.assertEqual(self.exchange(flood, 64 * MB - sent, 64 * MB), 64 * MB)
            if not IS_SANITIZED:
                self.assertLess(server.rss_bytes() - before, 8 * MB)

    @staticmethod
    def send_until_stuck(flood, bytes_max):
        sent, chunk = 0, b"f" * MB
        while sent < bytes_max and select.select([], [flood], [], 0.5)[1]:
            sent += flood.send(chunk[:bytes_max - sent])
        return sent

    @staticmethod
    def exchange(client, left_to_send, left_to_receive):
        """Sends and receives at the same time; returns the number of bytes received, all of which were `f`."""
        received, chunk = 0, b"f" * MB
        while received < left_to_receive:
            readable, writable, _ = select.select([client], [client] if left_to_send else [], [], PATIENCE_S)
            if not readable and not writable:
                break
            if writable:
                left_to_send -= client.send(chunk[:left_to_send])
            if readable:
                answer = client.recv(MB)
                if not answer or answer.count(b"f") != len(answer):
                    break
                received += len(answer)
        return received

    def test_sigterm_under_load_ends_it_within_the_grace_time(self):
        with EchoProcess(BINARY, "--grace=1s", "--loops=2") as server, closing_all() as clients:
            for _ in range(50):
                clients.append(server.connect())
                ping(clients[-1])
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            gone = self.chat_until_cut_off(clients, lambda: server.process.poll() is not None)
            out, _ = server.process.communicate(timeout=PATIENCE_S)
            took_s = time.monotonic() - begin
            self.assertEqual(server.process.returncode, 0)
            self.assertEqual(out, "stopped: 0 served, 50 cut off\n")
            self.assertEqual(gone, 50)
            self.assertGreaterEqual(took_s, 1.0, "cut off before the grace time was over")
            self.assertLess(took_s, 2.0)

    @staticmethod
    def chat_until_cut_off(clients, is_over):
        """Keeps a message under way on every connection; returns how many of them ended."""
        open_ones = set(clients)
        deadline = time.monotonic() + PATIENCE_S
        for client in clients:
            client.sendall(b"on and on")
        while open_ones and time.monotonic() < deadline:
            readable = select.select(list(open_ones), [], [], 0.1)[0]
            if not readable and is_over():
                break
            for client in readable:
                try:
                    answer = client.recv(100)
                    if answer:
                        client.sendall(answer)
                        continue
                except OSError:
                    pass
                open_ones.remove(client)
        return len(clients) - len(open_ones)


class OutOfDescriptors(unittest.TestCase):
    """64 descriptors, 640 clients that connect, say something and hold on."""

    def test_those_beyond_the_limit_wait_in_the_backlog(self):
        with EchoProcess(BINARY, fds_max=64) as server, closing_all() as clients, server.connect() as witness:
            ping(witness)
            for _ in range(640):
                clients.append(server.connect())
                clients[-1].sendall(b"hello")
            wait_until(lambda: server.fd_count() == 64, "all descriptors are in use")
            served = self.wait_for_answers(clients)
            self.assertGreater(len(served), 40)
            self.assertLess(len(served), 64)
            self.assert_it_costs_next_to_nothing(server, witness)
            waiting = [client for client in clients if client not in served]
            self.assertEqual(self.readable(waiting), [], "those who wait were neither served nor reset")
            self.assert_a_close_lets_one_in(served, waiting)
            ping(witness)

    @staticmethod
    def readable(clients, timeout_s=0.0):
        poll = select.poll()
        by_fd = {client.fileno(): client for client in clients}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        return [by_fd[fd] for fd, _ in poll.poll(timeout_s * 1000)]

    def wait_for_answers(self, clients):
        """Until no more come: the number is the server's own business."""
        served = []
        while ready := self.readable([client for client in clients if client not in served], 1.0):
            for client in ready:
                self.assertEqual(client.recv(100), b"hello")
                served.append(client)
        return served

    def assert_it_costs_next_to_nothing(self, server, witness):
        """A share of the processor only means something over a stretch of real time: these 5 s are spent."""
        cpu_before, begin = server.cpu_s(), time.monotonic()
        while time.monotonic() < begin + 5.0:
            ping(witness)
            select.select([], [], [], 0.5)
        share = (server.cpu_s() - cpu_before) / (time.monotonic() - begin)
        self.assertLessEqual(share, 0.02)

    def assert_a_close_lets_one_in(self, served, waiting):
        waits_s = []
        for _ in range(7):
            begin = time.monotonic()
            served.pop().close()
            ready = self.readable(waiting, PATIENCE_S)
            waits_s.append(time.monotonic() - begin)
            self.assertEqual(len(ready), 1)
            self.assertEqual(ready[0].recv(100), b"hello")
            waiting.remove(ready[0])
        self.assertLessEqual(statistics.median(waits_s), 0.1, waits_s)


if __name__ == "__main__":
    BINARY = sys.argv.pop(1)
    with open(BINARY, "rb") as binary:
        text = binary.read()
        IS_SANITIZED = b"__asan_init" in text or b"__tsan_init" in text
    raise_own_fd_limit()
    unittest.main()
