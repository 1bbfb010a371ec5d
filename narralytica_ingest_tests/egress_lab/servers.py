"""The servers of the laboratory: they listen on every address of their namespace, and serve whatever is hoped for."""

import re
import ssl
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY
from typing import Any
from urllib.parse import urlsplit

from narralytica_ingest_tests.egress_lab import places
from narralytica_ingest_tests.egress_lab.vector import Document
from narralytica_ingest_tests.source_server import SAMPLE

CERTIFICATE, AUTHORITY = (Path(__file__).with_name(name) for name in ("lab.pem", "authority.pem"))
KEY = bytes(range(16))  # of the segments ending in `.enc.ts`
ZONES = (".example.com", ".example.net")
_PUBLIC = {places.PUBLIC, places.PUBLIC_TOO, places.PUBLIC_V6}
_PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:11.7,\n/segment.ts\n#EXT-X-ENDLIST\n"
_WORDS = "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:11.7,\n/one.vtt\n#EXT-X-ENDLIST\n"
_MPD = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT11.7S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="90000" codecs="avc1.42c00c">'
    "<BaseURL>/clip.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
_PICTURE, _CAPTIONS = b"\xff\xd8\xff\xe0" + bytes(100), b"WEBVTT\n\n00:00.000 --> 00:02.000\nGood morning.\n"


@dataclass
class Site:
    """What the servers of one namespace say. `proxied` are the targets (`host:port`) that a client asked them for as if
    they were a proxy; they play along."""

    documents: Mapping[str, Document] = field(default_factory=dict)
    proxied: list[str] = field(default_factory=list)
    clip: bytes = field(default_factory=SAMPLE.read_bytes)

    def answer(self, host: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body. `host` is the address that was connected to, or what a proxy was asked for."""
        document = self.documents.get(path) if host in _PUBLIC or host.endswith(ZONES) else None
        if document is not None:
            return document.status, {"Content-Type": document.content_type, **document.headers}, document.body.encode()
        kind, body = self._as_hoped(path)
        return 200, {"Content-Type": kind}, body

    def _as_hoped(self, path: str) -> tuple[str, bytes]:
        known = {
            ".m3u8": ("application/vnd.apple.mpegurl", _PLAYLIST.encode()),
            ".mpd": ("application/dash+xml", _MPD.encode()),
            ".jpg": ("image/jpeg", _PICTURE),
            ".vtt": ("text/vtt", _CAPTIONS),
            ".key": ("application/octet-stream", KEY),
            ".xml": ("text/xml", _MPD.encode()),
        }
        if path.endswith("words.m3u8"):
            return known[".m3u8"][0], _WORDS.encode()
        if path.endswith(".enc.ts"):
            return "video/mp2t", _encrypted(self.clip)
        return known.get(Path(path).suffix, ("video/mp4", self.clip))


def serve(site: Site) -> None:
    """Listens on every address and every port of the laboratory; its threads end with the process."""
    for port in places.PORTS:
        server = _Server(("::", port), _handler(site))
        if port in places.TLS_PORTS:
            server.socket = _tls().wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.5,), daemon=True).start()


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:") if "." in address else address


class _Server(ThreadingHTTPServer):
    address_family = AF_INET6
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        self.socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that breaks off, or speaks another protocol, is what the laboratory is for.
        if not isinstance(sys.exception(), (OSError, ssl.SSLError)):
            super().handle_error(request, client_address)


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        tunnel = ""

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.scheme:
                site.proxied.append(asked.netloc)
            here = asked.hostname or self.tunnel or _plain(self.connection.getsockname()[0])
            status, headers, body = site.answer(here, asked.path)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            span = ""
            if wanted and status == 200:
                start, end = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
                status, span, body = 206, f"bytes {start}-{end}/{len(body)}", body[start : end + 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if span:
                self.send_header("Content-Range", span)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def do_CONNECT(self) -> None:
            site.proxied.append(self.path)
            self.tunnel = self.path.rpartition(":")[0]
            self.send_response_only(200)
            self.end_headers()
            if self.path.endswith(":443"):
                self.request = _tls().wrap_socket(self.connection, server_side=True)
                self.setup()
            # and goes on as if it were the target

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def _encrypted(body: bytes) -> bytes:
    from Cryptodome.Cipher import AES
    from Cryptodome.Util.Padding import pad

    return bytes(AES.new(KEY, AES.MODE_CBC, iv=bytes(16)).encrypt(pad(body, 16)))
