"""A gateway before the embedded S3 server, which makes it worse: deaf to some headers, away, slow, or damaging bytes.

Every request is signed anew, so the server behind it takes what arrives for what was meant, as it would behind any
gateway or on any wire.
"""

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from narralytica_ingest.endpoints import S3Endpoint

CONDITIONS = ("if-none-match", "if-match")
CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm", "content-md5")

_NOT_FORWARDED = {"host", "authorization", "x-amz-date", "x-amz-content-sha256", "expect", "connection", "user-agent"}
_OF_THE_CONNECTION = {"connection", "transfer-encoding", "date", "server"}


class S3Gateway:
    """Serves until the `with` block ends. `deaf_to` are beginnings of headers that never reach the server."""

    def __init__(self, upstream: S3Endpoint, deaf_to: tuple[str, ...] = ()) -> None:
        self.deaf_to = deaf_to
        self.away = False  # connections are closed without an answer
        self.refusing: tuple[int, str] | None = None  # status and code with which it answers by itself
        self.damaged = 0  # so many of the next bodies arrive with one bit changed
        self.truncated_bodies = 0  # so many of the next answers stop after half of their body
        self.seconds_per_body = 0.0
        self.before: Callable[[str, str], object] = lambda method, path: None
        self.requests: list[str] = []  # "HEAD /bucket/key"
        self._upstream = upstream
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.endpoint = S3Endpoint(
            f"http://127.0.0.1:{self._server.server_address[1]}",
            upstream.region,
            upstream.access_key_id,
            upstream.secret_access_key,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _note(self, method: str, path: str) -> None:
        with self._lock:
            self.requests.append(f"{method} {path}")
        self.before(method, path)

    def _on_the_way(self, body: bytes) -> bytes:
        if not body:
            return body
        time.sleep(self.seconds_per_body)
        with self._lock:
            damage, self.damaged = self.damaged > 0, max(0, self.damaged - 1)
        return bytes([body[0] ^ 1]) + body[1:] if damage else body

    def _passes(self, header: str) -> bool:
        return not header.lower().startswith(self.deaf_to)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> "_Answer":
        url = str(self._upstream.url)
        request = AWSRequest(method, url + path, headers, body)
        keys = Credentials(self._upstream.access_key_id or "", self._upstream.secret_access_key or "")
        S3SigV4Auth(keys, "s3", self._upstream.region).add_auth(request)
        with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
            connection.request(method, path, body, dict(request.headers.items()))
            answer = connection.getresponse()
            return _Answer(answer.status, answer.getheaders(), answer.read())


class _Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def has_length(self) -> bool:
        return any(name.lower() == "content-length" for name, _ in self.headers)


def _handler(gateway: S3Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if gateway.away:
                self.close_connection = True
                return
            gateway._note(self.command, self.path)
            if gateway.refusing is not None:
                status, code = gateway.refusing
                xml = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
                self._answer(_Answer(status, [("Content-Type", "application/xml")], xml))
                return
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in _NOT_FORWARDED and gateway._passes(name)
            }
            try:
                answer = gateway._ask(self.command, self.path, headers, gateway._on_the_way(body))
            except (OSError, http.client.HTTPException):
                self.close_connection = True  # the server is gone
            else:
                self._answer(answer)

        def _answer(self, answer: _Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers:
                if name.lower() not in _OF_THE_CONNECTION and gateway._passes(name):
                    self.send_header(name, value)
            body = b"" if self.command == "HEAD" else answer.body
            if answer.status != 204 and not answer.has_length:
                self.send_header("Content-Length", str(len(body)))
            try:
                self.end_headers()
                if body and gateway.truncated_bodies > 0:
                    gateway.truncated_bodies -= 1
                    body, self.close_connection = body[: len(body) // 2], True
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True  # the client has gone: that is its right

        def log_message(self, format: str, *args: Any) -> None:
            pass

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._forward)
    return Handler
