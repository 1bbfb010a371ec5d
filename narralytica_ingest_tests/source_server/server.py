"""The server itself: which resource a request gets, how its bytes are sent, and what is counted."""

import json
import re
import ssl
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from narralytica_ingest_tests.source_server.exceptions import close_to, open_to
from narralytica_ingest_tests.source_server.resource import (
    TYPES,
    Answer,
    Asked,
    Resource,
    date,
    etag,
    not_found,
    nth,
)
from narralytica_ingest_tests.source_server.streams import SAMPLE

PUBLISHED = "2026-03-14T09:26:53+00:00"
_BLOCK = 16 << 10
_LONG_SILENCE = 60.0


class SourceServer:
    """Serves until the `with` block ends. `requests` and `sent` count requests and body bytes for each path.

    While it runs, this process's environment lets a worker fetch from it, by its address and as `localhost` (see
    `exceptions.py`).

    `certificate` (PEM with its key) makes it speak TLS; `host` is the loopback address that it listens on.
    """

    def __init__(
        self, folder: Path | None = None, port: int = 0, host: str = "127.0.0.1", certificate: Path | None = None
    ) -> None:
        self.resources: dict[str, Resource] = {}
        self.answers: dict[str, Answer] = {}
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.ranges: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _QuietServer((host, port), _handler(self))
        self._server.daemon_threads = True
        self._exceptions: list[str] = []
        self._scheme = "http"
        if certificate is not None:
            self._scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake happens at the first read, in the request's own thread: one that is broken off harms nobody.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        if folder is not None:
            self._add_folder(folder)

    def url(self, path: str, host: str | None = None) -> str:
        """Where `path` is served; `host` replaces the address by another name of it (`localhost`)."""
        address, port = self._server.server_address[:2]
        return f"{self._scheme}://{host or str(address)}:{port}{path}"

    def add(self, path: str, *bodies: bytes, **properties: Any) -> str:
        """Serves `bodies` (by default the sample clip) at `path` and returns its URL."""
        self.resources[path] = Resource(list(bodies or (SAMPLE.read_bytes(),)), **properties)
        return self.url(path)

    def add_answer(self, path: str, answer: Answer) -> str:
        """Lets a function answer `path`, request by request."""
        self.answers[path] = answer
        return self.url(path)

    def add_error(self, path: str, status: int, **headers: str) -> str:
        """Answers `path` with an error."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.add(path, b"refused\n", content_type="text/plain", statuses=[status], headers=named)

    def add_redirect(self, path: str, to: str, status: int = 302) -> str:
        """Sends whoever asks for `path` to the URL or path `to`."""
        return self.add(path, b"", content_type="text/plain", statuses=[status], headers={"Location": to})

    def add_page(self, path: str, media_path: str, **video: Any) -> str:
        """A page whose JSON-LD `VideoObject` points to `media_path`."""
        described = {
            "@context": "https://schema.org",
            "@type": "VideoObject",
            "name": "A talk about ingestion",
            "description": "What happens to a video on its way.",
            "uploadDate": PUBLISHED,
            "duration": "PT11.7S",
            "author": {"@type": "Person", "name": "Narralytica Channel"},
            "thumbnailUrl": self.url("/thumbnail.jpg"),
            "contentUrl": self.url(media_path),
        } | video
        script = f'<script type="application/ld+json">{json.dumps(described)}</script>'
        page = f"<!DOCTYPE html><html><head><title>{described['name']}</title>{script}</head><body></body></html>"
        return self.add(path, page.encode(), content_type=TYPES[".html"])

    def __enter__(self) -> Self:
        self._thread.start()
        address, port = self._server.server_address[:2]
        self._exceptions = [open_to(host, int(port)) for host in (str(address), "localhost")]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._exceptions:
            close_to(each)
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _add_folder(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content_type = TYPES.get(path.suffix, "application/octet-stream")
                self.add(f"/{path.relative_to(folder)}", path.read_bytes(), content_type=content_type)

    def _find(self, asked: Asked) -> Resource:
        answer = self.answers.get(asked.path)
        return answer(asked) if answer else self.resources.get(asked.path) or not_found()

    def _count(self, name: str) -> int:
        with self._lock:
            self.requests[name] += 1
            return self.requests[name] - 1

    def _count_sent(self, name: str, size: int) -> None:
        with self._lock:
            self.sent[name] += size

    def _pause(self, seconds: float) -> bool:
        return self._stopping.wait(seconds)


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has gone, or does not like our certificate, is no error of the server.
        if not isinstance(sys.exception(), (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


def _handler(source: SourceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            resource = source._find(Asked(path, dict(parse_qsl(query)), dict(self.headers.items())))
            name = resource.name or path
            number = source._count(name)
            body = nth(resource.bodies, number)
            status, start, end = nth(resource.statuses, number), 0, len(body)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted:
                source.ranges.append((name, self.headers["Range"]))
            if wanted and resource.ranges and status == 200 and self._still(resource, body):
                start, end = int(wanted[1]), min(int(wanted[2] or end - 1) + 1, end)
                status = 206 if start < len(body) else 416
            self._head(resource, status, body, start, end)
            if self.command == "GET" and status != 416:
                self._send(name, resource, body[start:end], nth(resource.cuts, number), nth(resource.stalls, number))
            if not resource.announced or resource.lie:
                self.close_connection = True

        def _still(self, resource: Resource, body: bytes) -> bool:
            condition = self.headers.get("If-Range")
            return not condition or not resource.honours_if_range or condition in (etag(body), date(body))

        def _head(self, resource: Resource, status: int, body: bytes, start: int, end: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", resource.content_type)
            if resource.announced or status != 200:
                self.send_header("Content-Length", str(0 if status == 416 else end - start + resource.lie))
            if not resource.announced or resource.lie:
                self.send_header("Connection", "close")
            if status in (206, 416):
                span = f"{start}-{end - 1}" if status == 206 else "*"
                self.send_header("Content-Range", f"bytes {span}/{len(body) + resource.lie}")
            if resource.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if resource.etag:
                self.send_header("ETag", etag(body))
            if resource.dated:
                self.send_header("Last-Modified", date(body))
            for header, value in resource.headers.items():
                self.send_header(header, value)
            self.end_headers()

        def _send(self, name: str, resource: Resource, data: bytes, cut: int | None, stall: int | None) -> None:
            sent, begun = 0, resource.broken_off
            whole = min([len(data), *(end for end in (cut, stall) if end is not None)])
            step = min(_BLOCK, max(1, int(resource.rate / 8))) if resource.rate else _BLOCK
            try:
                while sent < whole and resource.broken_off == begun:
                    block = data[sent : min(sent + step, whole)]
                    self.wfile.write(block)
                    sent += len(block)
                    source._count_sent(name, len(block))
                    if resource.rate and source._pause(len(block) / resource.rate):
                        break
                if stall is not None and sent < len(data):
                    source._pause(_LONG_SILENCE)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has gone: that is its right
            if sent < len(data):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
