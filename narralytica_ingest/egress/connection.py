"""One client's connection to the guard: what it asks for, and what it is answered.

What belongs here: the course of one request. A tunnel (CONNECT) carries what it likes to the host that was judged; a
plain request has its connection for itself, so that no second one goes where the first was allowed to.
"""

import hmac
import logging
import socket
import struct
import threading
import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING

from narralytica_ingest.egress.body import All, Answer, Chunked, Counted
from narralytica_ingest.egress.head import BadRequest, RequestHead, parse_request, split_head
from narralytica_ingest.egress.judge import Refused
from narralytica_ingest.egress.ledger import Refusal
from narralytica_ingest.egress.policy import same_host
from narralytica_ingest.egress.relay import ClientGone, Relay, RemoteBroke
from narralytica_ingest.egress.ways import ProxyFailed, Way

if TYPE_CHECKING:
    from narralytica_ingest.egress.guard import Guard

log = logging.getLogger(__name__)

_BLOCK = 64 << 10
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed now breaks off
_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


class Limited(Exception):
    """The job has had enough."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Connection:
    """A client's connection. `admitted`: it has shown the password; `last_active` is by the monotonic clock."""

    def __init__(self, guard: "Guard", client: socket.socket) -> None:
        self._guard, self._client = guard, client
        self._closing = threading.Lock()
        self.admitted = False
        self.last_active = time.monotonic()

    def run(self) -> None:
        """Serves it to its end."""
        try:
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve()
        except (ClientGone, OSError):
            pass  # nobody is there to be told
        except Exception as error:  # ends this connection alone; its words may hold what nobody may see
            log.error("a connection of the guard failed: %s", type(error).__name__)
        finally:
            self._guard.leave(self)
            with self._closing:
                self._client.close()

    def cut(self) -> None:
        """Ends it, from any thread."""
        with self._closing, suppress(OSError):  # it may have ended already
            self._client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        try:
            request, rest = self._request()
        except BadRequest as error:
            self._answer(error.status, str(error))
            return
        if not hmac.compare_digest(request.login, b"Basic " + b64encode(self._guard.login.encode())):
            self._answer(407, "no password", 'Proxy-Authenticate: Basic realm="job"\r\n')
            return
        host = same_host(request.host)
        try:
            self._guard.admit(self, host, request.port)
            way = self._guard.ways.to(request.host, request.port, self._client, request.is_tunnel)
        except (Refused, Limited) as error:
            self._guard.ledger.refuse(error.refusal)
            self._answer(403, f"{error.refusal.code}: {error.refusal.message}")
        except (OSError, UnicodeError, ProxyFailed) as error:
            self._guard.ledger.fail(host, request.port, error)
            self._answer(504 if isinstance(error, TimeoutError) else 502, type(error).__name__)
        else:
            self._guard.ledger.connect(host, request.port)
            with way.connection:
                self._relay(way, request, host, rest)

    def _request(self) -> tuple[RequestHead, bytes]:
        """The request's head, and what came of its body. Raises BadRequest and ClientGone."""
        received, until = bytearray(), time.monotonic() + self._guard.timeout
        while (end := split_head(received)) is None:
            left = until - time.monotonic()
            if left <= 0:
                raise BadRequest(408, "no head in time")
            self._client.settimeout(left)
            try:
                came = self._client.recv(_BLOCK)
            except TimeoutError:
                continue
            if not came:
                raise ClientGone
            received += came
        return parse_request(bytes(received[:end])), bytes(received[end:])

    def _relay(self, way: Way, request: RequestHead, host: str, rest: bytes) -> None:
        def sent(count: int) -> None:
            self.last_active = time.monotonic()
            self._guard.count_sent(host, request.port, count)

        def received(count: int) -> None:
            self.last_active = time.monotonic()
            self._guard.count_received(host, request.port, count)

        up = All() if request.is_tunnel else Chunked() if request.length is None else Counted(request.length)
        relay = Relay(self._client, way.connection, up, All() if request.is_tunnel else Answer(), sent, received)
        if request.is_tunnel:
            self._client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        first = b"" if request.is_tunnel else request.forwarded(way.to_proxy, way.login)
        try:
            sent(len(first) + len(rest))
            relay.run(first, rest)
        except RemoteBroke:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        except Limited:
            return
        else:
            self._take_rest()

    def _take_rest(self) -> None:
        """What a client has sent and nobody has read would turn the end of its answer into an abort."""
        self._client.setblocking(False)
        try:
            for _ in range(16):
                if not self._client.recv(_BLOCK):
                    return
        except BlockingIOError:
            return

    def _answer(self, status: int, words: str, fields: str = "") -> None:
        body = f"{words}\n".encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n{fields}Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._client.settimeout(self._guard.timeout)
        self._client.sendall(head.encode() + body)
        self._client.shutdown(socket.SHUT_WR)
        self._take_rest()
