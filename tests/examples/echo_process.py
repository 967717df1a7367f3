"""An echo server as a child process, and clients for it, for the tests of this folder."""
import contextlib
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time

# How long anything may take that should take no time at all: sanitizers and busy machines are slow.
PATIENCE_S = 20.0


def wait_until(is_true, what, timeout_s=PATIENCE_S):
    """Polls; the pause lies in select, which wakes nobody."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not after {timeout_s} s: {what}")
        select.select([], [], [], 0.005)


def raise_own_fd_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class EchoProcess:
    """Started, and listening, when the constructor is through."""

    def __init__(self, binary, *flags, port="--port=0", fds_max=None):
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (fds_max, fds_max))) if fds_max else None
        self.process = subprocess.Popen([binary, port, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=limit)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if match is None:
            self.process.kill()
            raise AssertionError(f"expected `listening on`, got {line!r} and {self.process.communicate()[1]!r}")
        self.port = int(match.group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def stop(self, number=signal.SIGTERM, timeout_s=PATIENCE_S):
        """Returns (exit code, what it printed, seconds it took)."""
        begin = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=timeout_s)
        sys.stderr.write(err)
        return self.process.returncode, out, time.monotonic() - begin

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime


def ping(client, message=b"ping"):
    client.sendall(message)
    answer = b""
    while len(answer) < len(message):
        chunk = client.recv(len(message) - len(answer))
        assert chunk, "the server hung up"
        answer += chunk
    assert answer == message, f"{message!r} came back as {answer!r}"


def reset(client):
    """Closes with a RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextlib.contextmanager
def closing_all():
    """A list of sockets, closed at the end."""
    clients = []
    try:
        yield clients
    finally:
        for client in clients:
            client.close()
