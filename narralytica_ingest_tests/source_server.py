"""A web server on loopback that serves video sources, the well-behaved and the hostile ones, and counts what it serves.

Used by tests, and by hand: `python -m narralytica_ingest_tests.source_server --port N`. Streams are cut from the
bundled clip with ffmpeg when the server starts.
"""

import argparse
import contextlib
import hashlib
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools, find_tools

SAMPLE = Path(str(files("narralytica_ingest") / "samples" / "speech.mp4"))
PUBLISHED = "2026-03-14T09:26:53+00:00"
T = TypeVar("T")
_BLOCK = 16 << 10
_TYPES = {
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
    ".ts": "video/mp2t",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".html": "text/html; charset=utf-8",
}


@dataclass
class Resource:
    """What a path answers. The lists are read by the request's number (the last value stays); by default all is well.

    `cuts`: bytes after which the connection is closed, or None. `bodies`: the content, which may change. `rate` is
    bytes per second. `etag`, `dated`, `ranges` and `announced` (Content-Length) can be switched off.
    """

    bodies: list[bytes]
    content_type: str = "video/mp4"
    cuts: list[int | None] = field(default_factory=lambda: [None])
    statuses: list[int] = field(default_factory=lambda: [200])
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None
    etag: bool = True
    dated: bool = True
    ranges: bool = True
    honours_if_range: bool = True
    announced: bool = True


class SourceServer:
    """Serves until the `with` block ends. `requests` and `sent` count requests and body bytes for each path."""

    def __init__(self, folder: Path | None = None, port: int = 0) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.ranges: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _QuietServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        if folder is not None:
            self._add_folder(folder)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def add(self, path: str, *bodies: bytes, **properties: Any) -> str:
        """Serves `bodies` (by default the sample clip) at `path` and returns its URL."""
        self.resources[path] = Resource(list(bodies or (SAMPLE.read_bytes(),)), **properties)
        return self.url(path)

    def add_error(self, path: str, status: int, **headers: str) -> str:
        """Answers `path` with an error."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.add(path, b"refused\n", content_type="text/plain", statuses=[status], headers=named)

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
        return self.add(path, page.encode(), content_type=_TYPES[".html"])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _add_folder(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content_type = _TYPES.get(path.suffix, "application/octet-stream")
                self.add(f"/{path.relative_to(folder)}", path.read_bytes(), content_type=content_type)

    def _count(self, path: str) -> int:
        with self._lock:
            self.requests[path] += 1
            return self.requests[path] - 1

    def _count_sent(self, path: str, size: int) -> None:
        with self._lock:
            self.sent[path] += size

    def _pause(self, seconds: float) -> bool:
        return self._stopping.wait(seconds)


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that has gone is no error of the server
            super().handle_error(request, client_address)


def _handler(source: SourceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            number = source._count(path)
            resource = source.resources.get(path) or Resource([b"not found\n"], "text/plain", statuses=[404])
            body = _nth(resource.bodies, number)
            status, start, end = _nth(resource.statuses, number), 0, len(body)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted:
                source.ranges.append((path, self.headers["Range"]))
            if wanted and resource.ranges and status == 200 and self._still(resource, body):
                start, end = int(wanted[1]), min(int(wanted[2] or end - 1) + 1, end)
                status = 206 if start < len(body) else 416
            self._head(resource, status, body, start, end)
            if self.command == "GET" and status != 416:
                self._send(path, resource, body[start:end], _nth(resource.cuts, number))
            if not resource.announced:
                self.close_connection = True

        def _still(self, resource: Resource, body: bytes) -> bool:
            condition = self.headers.get("If-Range")
            return not condition or not resource.honours_if_range or condition in (_etag(body), _date(body))

        def _head(self, resource: Resource, status: int, body: bytes, start: int, end: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", resource.content_type)
            if resource.announced or status != 200:
                self.send_header("Content-Length", str(0 if status == 416 else end - start))
            else:
                self.send_header("Connection", "close")
            if status in (206, 416):
                span = f"{start}-{end - 1}" if status == 206 else "*"
                self.send_header("Content-Range", f"bytes {span}/{len(body)}")
            if resource.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if resource.etag:
                self.send_header("ETag", _etag(body))
            if resource.dated:
                self.send_header("Last-Modified", _date(body))
            for name, value in resource.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def _send(self, path: str, resource: Resource, data: bytes, cut: int | None) -> None:
            sent = 0
            whole = len(data) if cut is None else min(cut, len(data))
            try:
                while sent < whole:
                    block = data[sent : min(sent + _BLOCK, whole)]
                    self.wfile.write(block)
                    sent += len(block)
                    source._count_sent(path, len(block))
                    if resource.rate and source._pause(len(block) / resource.rate):
                        break
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has gone: that is its right
            if sent < len(data):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _nth(values: Sequence[T], number: int) -> T:
    return values[min(number, len(values) - 1)]


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def _date(body: bytes) -> str:
    """A date that belongs to the content: other content, other date."""
    return formatdate(1_700_000_000 + int(hashlib.sha256(body).hexdigest()[:6], 16), usegmt=True)


def make_streams(folder: Path, tools: MediaTools) -> Path:
    """Writes the sample as `/clip.mp4`, HLS (MPEG-TS and fragmented MP4, two renditions) and DASH into `folder`."""
    (folder / "clip.mp4").write_bytes(SAMPLE.read_bytes())
    small = folder / "small.mp4"
    _ffmpeg(tools, "-vf", "scale=256:144", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "copy", small)
    for name, kind in (("hls", "mpegts"), ("hls-fmp4", "fmp4")):
        (folder / name).mkdir()
        for rendition, source in (("high", SAMPLE), ("low", small)):
            segment = folder / name / f"{rendition}-%d.{'ts' if kind == 'mpegts' else 'm4s'}"
            options = [
                "-c",
                "copy",
                "-f",
                "hls",
                "-hls_time",
                "2",
                "-hls_playlist_type",
                "vod",
                "-hls_segment_type",
                kind,
            ]
            options += ["-hls_fmp4_init_filename", f"{rendition}-init.mp4", "-hls_segment_filename", str(segment)]
            _ffmpeg(tools, *options, folder / name / f"{rendition}.m3u8", source=source)
        (folder / name / "master.m3u8").write_text(
            "#EXTM3U\n#EXT-X-VERSION:7\n"
            '#EXT-X-STREAM-INF:BANDWIDTH=90000,RESOLUTION=256x144,CODECS="avc1.42c00c,mp4a.40.2"\nlow.m3u8\n'
            '#EXT-X-STREAM-INF:BANDWIDTH=240000,RESOLUTION=480x270,CODECS="avc1.640015,mp4a.40.2"\nhigh.m3u8\n'
        )
    (folder / "dash").mkdir()
    _ffmpeg(tools, "-c", "copy", "-f", "dash", "-seg_duration", "2", folder / "dash" / "manifest.mpd")
    return folder


def _ffmpeg(tools: MediaTools, *options: str | Path, source: Path = SAMPLE) -> None:
    result = run_tool(
        [tools.ffmpeg, "-nostdin", "-v", "error", "-y", "-i", source, "-fflags", "+bitexact", *options], timeout=60
    )
    if result.returncode != 0:
        raise RuntimeError(result.stderr)


def add_usual_sources(server: SourceServer) -> None:
    """The sources that a person or an end-to-end test wants to meet, good and bad."""
    server.add_page("/page.html", "/clip.mp4")
    server.add("/html.mp4", b"<!DOCTYPE html><html><body>Not a video</body></html>", content_type="video/mp4")
    server.add("/garbage.mp4", b"\x00garbage" * 5000)
    server.add("/slow.mp4", rate=40_000.0)
    server.add("/cut.mp4", cuts=[None, 100_000, None])
    for status in (401, 403, 404, 410, 500):
        server.add_error(f"/error/{status}", status)
    for status in (429, 503):
        server.add_error(f"/error/{status}", status, Retry_After="7")


def main() -> None:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serves video sources on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(SourceServer(make_streams(folder, find_tools()), port))
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        add_usual_sources(server)
        print(*(server.url(path) for path in sorted(server.resources)), sep="\n", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
