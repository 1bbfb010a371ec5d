"""A place to attack from: Python in the tool's place, in the real runner, and canaries at what it would reach."""

import os
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from narralytica_ingest.media.run import ToolResult, run_tool
from narralytica_ingest.media.sandbox import Reach

PYTHON = os.path.realpath(sys.executable)
SECRET = "the neighbour's secret"
CONNECTS = {
    "TCP": "socket.create_connection(('127.0.0.1', tcp))",
    "TCP over IPv6": "socket.create_connection(('::1', tcp6))",
    "TCP that connects as it sends": "socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', tcp))",
    "TCP of several paths": "socket.socket(proto=262).connect(('127.0.0.1', tcp))",
    "UDP": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', udp))",
    "an abstract socket": "socket.socket(socket.AF_UNIX).connect(abstract)",
    "a socket with a path": "socket.socket(socket.AF_UNIX).connect(path)",
}
"""The embedded Postgres listens on a socket with a path, which Landlock knows nothing of."""


@dataclass(frozen=True)
class Target:
    """What an attacker would like to reach; each may be named in an attack's code."""

    folder: Path
    input: Path
    output: Path
    neighbour: Path
    tcp: int
    other_tcp: int
    tcp6: int
    udp: int
    abstract: str
    path: str
    victim: int


class Canary:
    """A server that notes whether anybody came."""

    def __init__(self, stack: ExitStack, family: int, kind: int, address: object) -> None:
        self.socket = stack.enter_context(socket.socket(family, kind))
        self.socket.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.socket.setblocking(False)  # on this machine who has connected or sent has come

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def visited(self) -> bool:
        """Whether a connection or a packet has come since it was asked last."""
        try:
            if self.socket.type == socket.SOCK_STREAM:
                self.socket.accept()[0].close()
            else:
                self.socket.recvfrom(100)
        except BlockingIOError:
            return False
        return True


@dataclass
class Lab:
    target: Target
    canaries: list[Canary]

    def attack(self, code: str, reach: Reach | None, **given: object) -> ToolResult:
        """Runs Python code in the place of the tool, which may use what `Target` names."""
        prelude = "import ctypes, os, resource, socket, sys, time\n"
        prelude += "".join(f"{name} = {_plain(value)!r}\n" for name, value in (vars(self.target) | given).items())
        return run_tool([PYTHON, "-I", "-S", "-c", prelude + code + "\nprint('done')"], timeout=30, reach=reach)

    def visited(self) -> bool:
        return sum(canary.visited() for canary in self.canaries) > 0


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
