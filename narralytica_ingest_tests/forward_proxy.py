"""A forward proxy on loopback, for tests: passes plain requests on, makes tunnels, may ask for a login, and counts."""

import base64
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_BLOCK = 1 << 16


class ForwardProxy:
    """Serves until the `with` block ends. `passed` are the targets of the requests that it let through.

    `login` is the `user:password` that it asks for; None: it asks for none. `ports` are the hosts to which it makes
    tunnels, each to a port on loopback; it knows no other, and plain requests to these go there, too. `certificate`
    (PEM with its key) makes it speak TLS.
    """

    def __init__(
        self, login: str | None = None, ports: Mapping[str, int] | None = None, certificate: Path | None = None
    ) -> None:
        self.login = login
        self._scheme = "http" if certificate is None else "https"
        self.ports = ports or {}
        self.passed: list[str] = []
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, login: str = "") -> str:
        """The proxy's URL, with this `user:password`."""
        return f"{self._scheme}://{f'{login}@' if login else ''}127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: ForwardProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self._allowed():
                return
            parts = urlsplit(self.path)
            known = proxy.ports.get(parts.hostname or "")  # what only the proxy can resolve
            at = ("127.0.0.1", known) if known else (parts.hostname or "", parts.port or 80)
            connection = http.client.HTTPConnection(*at, timeout=10)
            kept = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
            connection.request("GET", f"{parts.path}?{parts.query}", headers=kept)
            answer = connection.getresponse()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            try:
                while block := answer.read(_BLOCK):
                    self.wfile.write(block)
            except ConnectionError:
                pass  # the client has gone
            connection.close()
            self.close_connection = True

        def do_CONNECT(self) -> None:
            if not self._allowed():
                return
            port = proxy.ports.get(self.path.rpartition(":")[0])
            if port is None:
                self.send_error(502)
                return
            target = socket.create_connection(("127.0.0.1", port), 5)
            self.send_response_only(200)
            self.end_headers()
            with target:
                pass_both_ways(self.connection, target)
            self.close_connection = True

        def _allowed(self) -> bool:
            given = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
            if proxy.login is None or base64.b64decode(given).decode() == proxy.login:
                proxy.passed.append(self.path)
                return True
            proxy.refused += 1
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def pass_both_ways(one: socket.socket, other: socket.socket) -> None:
    """Until one of them ends, or both are silent for some seconds."""
    to = {one: other, other: one}
    while ready := select.select([one, other], [], [], 5)[0]:
        for each in ready:
            data = each.recv(_BLOCK)
            if not data:
                return
            to[each].sendall(data)
