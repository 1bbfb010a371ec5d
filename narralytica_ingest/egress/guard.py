"""The guard: a forward proxy on loopback through which everything that a job fetches has to go.

What belongs here: its life, its limits, and who is connected. What it answers a client is in `connection.py`.
"""

import logging
import secrets
import select
import socket
import threading
import time
from types import TracebackType
from typing import Self

from narralytica_ingest.egress.connection import Connection, Limited
from narralytica_ingest.egress.ledger import Contact, Ledger, Refusal
from narralytica_ingest.egress.policy import EgressPolicy
from narralytica_ingest.egress.ways import Straight, ThroughProxy

log = logging.getLogger(__name__)

AT_ONCE = 32  # connections of the job; beyond, the one that was idle longest gives way
_ANYBODYS = 128  # connections, of whoever has not shown the password yet, too
_LINGER_SECONDS = 1.0  # for what is at work when the guard is closed


class Guard:
    """A guard for one job, at work from `with` to its end.

    `upstream` is the URL of the operator's proxy (http, https, socks4, socks4a, socks5, socks5h), through which all
    goes; None: straight. `timeout` is how long (seconds) a connection may take to be made.
    """

    def __init__(self, policy: EgressPolicy, upstream: str | None = None, timeout: float = 15.0) -> None:
        self.policy, self.timeout = policy, timeout
        self.ledger = Ledger()
        self.login = f"job:{secrets.token_urlsafe(24)}"
        self.ways = ThroughProxy(policy, upstream, timeout) if upstream else Straight(policy, timeout)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._port: int = self._listener.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._until = time.monotonic() + policy.max_seconds
        self._lock = threading.Lock()
        self._at_work: dict[Connection, threading.Thread] = {}
        self._over: Refusal | None = None
        self._closed = False
        self._accepting = threading.Thread(target=self._accept, name="egress-guard", daemon=True)

    def __repr__(self) -> str:
        return "Guard(...)"

    @property
    def url(self) -> str:
        """The proxy's URL for clients, with the password: never show it."""
        return f"http://{self.login}@127.0.0.1:{self._port}"

    @property
    def refusals(self) -> list[Refusal]:
        """What was refused so far, the first thousand. It only grows."""
        return self.ledger.refusals

    @property
    def misses(self) -> int:
        """How many connections were asked for and not made so far."""
        return self.ledger.misses

    @property
    def last_miss(self) -> Refusal | Exception | None:
        """Why the last of them was not: a refusal, else OSError, UnicodeError or ProxyFailed."""
        return self.ledger.last_miss

    def contacts(self) -> list[Contact]:
        """The hosts and ports that were asked for so far, the first thousand."""
        return self.ledger.contacts()

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections. What a resolver or the operator's proxy keeps waiting is left to end by itself."""
        with self._lock:
            self._closed = True
            left = list(self._at_work.items())
        self._stop.close()
        for connection, _ in left:
            connection.cut()
        if self._accepting.ident is not None:
            self._accepting.join()
        until = time.monotonic() + _LINGER_SECONDS
        for _, thread in left:
            thread.join(max(until - time.monotonic(), 0))
        self._listener.close()
        self._stopped.close()

    # ---- for its connections -------------------------------------------------------------------------------------

    def admit(self, connection: Connection, host: str, port: int) -> None:
        """Counts a connection of the job. Raises Limited where the job has had enough."""
        with self._lock:
            over = self._over
            others = sorted((each for each in self._at_work if each.admitted), key=lambda each: each.last_active)
        if over is not None:
            raise Limited(Refusal(host, port, over.code, over.message))
        if self.ledger.ask() > self.policy.max_connections:
            raise Limited(self.exceed(host, port, f"made more than {self.policy.max_connections:,} connections"))
        for each in others[: max(len(others) + 1 - AT_ONCE, 0)]:
            each.cut()
        connection.admitted = True

    def count_sent(self, host: str, port: int, count: int) -> None:
        """Counts bytes of the client. Raises Limited beyond the limit."""
        self._require_few(host, port, self.ledger.send(count))

    def count_received(self, host: str, port: int, count: int) -> None:
        """Counts bytes of a source. Raises Limited beyond the limit."""
        self._require_few(host, port, self.ledger.receive(host, port, count))

    def leave(self, connection: Connection) -> None:
        """The connection has ended."""
        with self._lock:
            self._at_work.pop(connection, None)

    def exceed(self, host: str, port: int, what: str) -> Refusal:
        """Ends everything for good, for the job went beyond its limits."""
        refusal = Refusal(host, port, "egress_exceeded", f"The job {what}, which is more than one job may.")
        with self._lock:
            first, self._over = self._over is None, self._over or refusal
            others = [each for each in self._at_work if each.admitted]
        if first:
            self.ledger.refuse(refusal)
            for each in others:
                each.cut()
        return refusal

    def _require_few(self, host: str, port: int, count: int) -> None:
        if count > self.policy.max_bytes:
            raise Limited(self.exceed(host, port, f"sent and received more than {self.policy.max_bytes:,} bytes"))

    # ---- its own thread ------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        while True:
            left = self._until - time.monotonic() if self._over is None else None
            ready = dict(poll.poll(None if left is None else max(left, 0) * 1000))
            if self._stopped.fileno() in ready:
                return
            if ready:
                self._begin()
            elif left is not None and left <= 0.001:
                self.exceed("", 0, f"went on fetching for {self.policy.max_seconds:,.0f} seconds")

    def _begin(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        connection = Connection(self, client)
        thread = threading.Thread(target=connection.run, name="egress-connection", daemon=True)
        with self._lock:
            full = self._closed or len(self._at_work) >= _ANYBODYS
            if not full:
                self._at_work[connection] = thread
        if full:
            client.close()
            return
        try:
            thread.start()
        except RuntimeError:  # the machine gives no more threads
            self.leave(connection)
            client.close()
