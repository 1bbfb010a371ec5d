"""What ends a transfer: size, slowness, silence, a full disk, an interrupt."""

import signal
import socketserver
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.sources.fetching import FetchEvents, FetchOptions
from narralytica_ingest.sources.ytdlp import body, downloader, fetch_url
from narralytica_ingest_tests.integration.resume.attempts import (
    BODY,
    OLD,
    PAGE,
    PLAYLIST,
    SIZE,
    SiteIE,
    fetch,
    partial_size,
    segments,
    serve,
)
from narralytica_ingest_tests.source_server import SourceServer, close_to, lab_options, open_to


def test_what_is_too_large_is_refused_before_a_byte_of_it_is_written(server: SourceServer, folder: Path) -> None:
    with pytest.raises(IngestError) as raised:
        fetch(serve(server, BODY), folder, max_bytes=SIZE - 1)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "too_large")
    assert partial_size(folder) == 0


def test_what_turns_out_to_be_too_large_on_the_way_is_given_up(server: SourceServer, folder: Path) -> None:
    with pytest.raises(IngestError, match="too_large"):
        fetch(segments(server, *OLD), folder, max_bytes=1_000_000)
    assert partial_size(folder) <= 1_000_000
    assert not server.requests["/list/5.ts"]


def test_the_need_for_disk_is_told_before_the_first_media_byte(server: SourceServer, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    events = FetchEvents(reserve=lambda size: told.append((size, partial_size(folder))))
    fetch_url(serve(server, BODY), folder, lab_options(), events)
    assert told == [(SIZE, 0)]


def test_what_does_not_fit_is_not_fetched(server: SourceServer, folder: Path) -> None:
    refusal = failure("disk_full", "Full.")

    def refuse(_: int) -> None:
        raise refusal

    with pytest.raises(IngestError) as raised:
        fetch_url(serve(server, BODY), folder, lab_options(), FetchEvents(reserve=refuse))
    assert raised.value is refusal
    assert partial_size(folder) == 0


@pytest.mark.parametrize("hls", [False, True])
def test_a_source_that_drips_is_given_up_though_its_socket_never_times_out(
    server: SourceServer, folder: Path, hls: bool
) -> None:
    with Dripping() as dripping:
        listed = f"#EXTM3U\n#EXTINF:2,\n{dripping.url}\n#EXT-X-ENDLIST\n"
        playlist_url = server.add("/list.m3u8", listed.encode(), content_type=PLAYLIST)
        segmented = {"url": playlist_url, "ext": "mp4", "protocol": "m3u8_native"}
        SiteIE.formats = (segmented if hls else {"url": dripping.url, "ext": "mp4"},)
        url = server.url(PAGE)
        began = time.monotonic()
        with pytest.raises(IngestError) as raised:
            fetch(url, folder, stall_seconds=1.5, min_rate=1000)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "too_slow")
    assert 1.5 <= time.monotonic() - began < 6


class _Drip(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000\r\n\r\n")
        with suppress(OSError):
            while True:
                self.request.sendall(b"x")
                time.sleep(0.1)


class Dripping(socketserver.ThreadingTCPServer):
    """A server that announces a megabyte and sends a byte every tenth of a second."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Drip)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/drip.mp4"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        self._exception = open_to("127.0.0.1", self.server_address[1])
        return self

    def __exit__(self, *_: object) -> None:
        close_to(self._exception)
        self.shutdown()
        self.server_close()
        self._thread.join()


def test_a_page_that_drips_is_given_up_too(server: SourceServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloader, "_USUAL", FetchOptions(stall_seconds=1.5))
    with Dripping() as dripping, pytest.raises(IngestError) as raised:
        fetch(dripping.url.replace(".mp4", ".html"), folder)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "too_slow")


def test_what_is_far_too_large_for_a_page_is_not_read_into_memory(
    server: SourceServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "LARGEST_PAGE", 1 << 20)
    url = server.add("/huge.html", b"<html>" + bytes(8 << 20), content_type="text/html")
    with pytest.raises(IngestError) as raised:
        fetch(url, folder)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "page_too_large")


@pytest.mark.parametrize("path", [PAGE, "/list/index.m3u8"])
def test_an_interrupt_ends_a_transfer_at_once_and_keeps_what_is_there(
    server: SourceServer, folder: Path, path: str
) -> None:
    serve(server, BODY, rate=300_000.0)
    segments(server, *OLD)
    for number in range(6):
        server.resources[f"/list/{number}.ts"].rate = 300_000.0
    timer = threading.Timer(2.0, signal.raise_signal, [signal.SIGINT])
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch(server.url(path), folder)
    assert time.monotonic() - began < 4
    assert partial_size(folder) > 100_000
