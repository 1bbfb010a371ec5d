"""What a guard saw: whom it refused, what failed, whom it reached, and how much came.

What belongs here: counting, for many threads at once. Memory is bounded, whatever a source does.
"""

import threading
from dataclasses import dataclass
from typing import Literal

MOST_KEPT = 1000  # hosts, and refusals: what is beyond is counted and forgotten


Code = Literal["blocked_address", "blocked_host", "blocked_port", "egress_exceeded"]


@dataclass(frozen=True)
class Refusal:
    """A connection that was not made. `message` is a sentence for people, which names no address."""

    host: str
    port: int
    code: Code
    message: str


@dataclass(frozen=True)
class Contact:
    """A host and port as it was asked for. `connections` were made, `bytes_received` came; `refused` is the code where
    some were refused, too."""

    host: str
    port: int
    connections: int
    bytes_received: int
    refused: str | None


class Ledger:
    """The books of one guard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contacts: dict[tuple[str, int], Contact] = {}
        self.refusals: list[Refusal] = []
        self.misses = 0
        self.last_miss: Refusal | Exception | None = None
        self.connections = 0
        self.bytes = 0

    def refuse(self, refusal: Refusal) -> None:
        """Notes a refusal."""
        with self._lock:
            self._miss(refusal)
            if len(self.refusals) < MOST_KEPT:
                self.refusals.append(refusal)
            self._note(refusal.host, refusal.port, 0, 0, refusal.code)

    def fail(self, host: str, port: int, error: Exception) -> None:
        """Notes why a connection that was allowed could not be made."""
        with self._lock:
            self._miss(error)
            self._note(host, port, 0, 0, None)

    def ask(self) -> int:
        """Counts a connection that is asked for, and returns how many there were in all."""
        with self._lock:
            self.connections += 1
            return self.connections

    def connect(self, host: str, port: int) -> None:
        """Notes a connection that was made."""
        with self._lock:
            self._note(host, port, 1, 0, None)

    def receive(self, host: str, port: int, count: int) -> int:
        """Notes bytes that came, and returns how many went both ways in all."""
        with self._lock:
            self.bytes += count
            self._note(host, port, 0, count, None)
            return self.bytes

    def send(self, count: int) -> int:
        """Notes bytes that were sent, and returns how many went both ways in all."""
        with self._lock:
            self.bytes += count
            return self.bytes

    def contacts(self) -> list[Contact]:
        """All hosts, in the order in which they were first asked for."""
        with self._lock:
            return list(self._contacts.values())

    def _miss(self, why: Refusal | Exception) -> None:
        self.misses += 1
        self.last_miss = why

    def _note(self, host: str, port: int, connections: int, received: int, refused: str | None) -> None:
        before = self._contacts.get((host, port))
        if before is None:
            if len(self._contacts) >= MOST_KEPT:
                return
            before = Contact(host, port, 0, 0, None)
        self._contacts[host, port] = Contact(
            host,
            port,
            before.connections + connections,
            before.bytes_received + received,
            before.refused or refused,
        )
