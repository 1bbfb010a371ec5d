"""Answers that never end, come to nothing, or are not what was asked for."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.fetching import Access, FetchEvents, Progress
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.integration.resume.attempts import BODY, MEDIA, fetch
from narralytica_ingest_tests.source_server import SourceServer, lab_options, opened_to

OK = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"
BROWSERS = pytest.mark.parametrize("impersonate", [None, "chrome"])
Talk = Callable[[socket, str], None]


@contextmanager
def talking(talk: Talk) -> Iterator[tuple[str, list[str]]]:
    """A server that answers by `talk`, request by request; its URL, and the heads of the requests."""
    heads: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                heads.append(self.request.recv(65536).decode())
                talk(self.request, heads[-1])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with opened_to("127.0.0.1", server.server_address[1]):
                yield f"http://127.0.0.1:{server.server_address[1]}/clip.mp4", heads
        finally:
            server.shutdown()
            thread.join()


@BROWSERS
def test_a_head_that_drips_is_given_up(folder: Path, impersonate: str | None) -> None:
    gone = threading.Event()

    def drip(client: socket, _: str) -> None:
        client.sendall(OK + b"X-Long: ")
        while not gone.wait(0.1):
            client.sendall(b"xx")

    began = time.monotonic()
    with talking(drip) as (url, _), pytest.raises(IngestError) as raised:
        try:
            fetch(url, folder, retries=0, socket_timeout=0.5, access=Access(impersonate=impersonate))
        finally:
            gone.set()
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "timed_out")
    assert time.monotonic() - began < 8


def test_the_body_of_a_redirect_is_not_read(server: SourceServer, folder: Path) -> None:
    sent = 0

    def redirect(client: socket, _: str) -> None:
        nonlocal sent
        client.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + target.encode() + b"\r\n\r\n")
        for _number in range(256):
            client.sendall(bytes(1 << 18))
            sent += 1 << 18

    target = server.add(MEDIA, BODY)
    with talking(redirect) as (url, _):
        assert fetch(url, folder).parts[0].read_bytes() == BODY
    assert sent < 32 << 20


def test_a_server_that_answers_another_range_without_proof_is_not_asked_for_ever(folder: Path) -> None:
    def answer(client: socket, head: str) -> None:
        if "range: bytes=0-" in head.lower() or "range:" not in head.lower():
            client.sendall(OK + b'ETag: "a"\r\nContent-Length: 500000\r\n\r\n' + bytes(100_000))
        else:
            span = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-999/500000\r\nContent-Length: 1000\r\n\r\n"
            client.sendall(span + bytes(1000))

    with talking(answer) as (url, heads), pytest.raises(IngestError, match="incomplete_read"):
        fetch(url, folder)
    assert len(heads) < 12


def test_what_is_read_more_slowly_than_it_comes_is_not_kept_in_memory(folder: Path) -> None:
    sent, size = 0, 64 << 20

    def pour(client: socket, _: str) -> None:
        nonlocal sent
        sent = 0
        client.sendall(OK + b'ETag: "a"\r\nContent-Length: %d\r\n\r\n' % size)
        while sent < size:
            client.sendall(bytes(1 << 16))
            sent += 1 << 16

    class Enough(Exception):
        pass

    ahead: list[int] = []

    def read_slowly(now: Progress) -> None:
        time.sleep(0.02)
        ahead.append(sent - now.bytes)
        if len(ahead) >= 50:
            raise Enough

    with talking(pour) as (url, _), pytest.raises(Enough):
        fetch_url(url, folder, lab_options(access=Access(impersonate="chrome")), FetchEvents(read_slowly))
    assert max(ahead) < 32 << 20, max(ahead)  # curl's buffers, and those of the sockets before and behind the guard


@BROWSERS
@pytest.mark.parametrize(
    "header",
    [
        b"Content-Encoding: aws-chunked", b"Content-Encoding: identity",
        b"Last-Modified: Mon, 01 Jan 99999 00:00:00 GMT",
        b"Last-Modified: Mon, 01 Jan 9999999999999999999 00:00:00 GMT",
    ],
)  # fmt: skip
def test_headers_without_sense_do_no_harm(folder: Path, header: bytes, impersonate: str | None) -> None:
    if impersonate and b"Content-Encoding" in header:
        header = b"X-None: 1"  # curl itself refuses an encoding that it does not know

    def answer(client: socket, _: str) -> None:
        client.sendall(OK + header + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)

    with talking(answer) as (url, _):
        fetched = fetch(url, folder, retries=0, access=Access(impersonate=impersonate))
    assert fetched.parts[0].read_bytes() == BODY
