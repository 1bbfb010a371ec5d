"""A SOCKS proxy on loopback, for tests: versions 4, 4a and 5, with or without a login. It remembers its targets."""

import socketserver
import threading
from collections.abc import Mapping
from ipaddress import ip_address
from socket import create_connection, socket
from types import TracebackType
from typing import Self

from narralytica_ingest_tests.forward_proxy import pass_both_ways


class SocksProxy:
    """Serves until the `with` block ends. `asked` are the targets (`host:port`) as they were given.

    `login` is the `user:password` that version 5 asks for; None: none. `ports` are the hosts that it knows by name,
    each a port on loopback; an address it connects to as it is.
    """

    def __init__(self, login: str | None = None, ports: Mapping[str, int] | None = None) -> None:
        self.login, self.ports = login, ports or {}
        self.asked: list[str] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def url(self, scheme: str, login: str = "") -> str:
        """The proxy's URL for a version (`socks5h`), with this `user:password`."""
        return f"{scheme}://{f'{login}@' if login else ''}127.0.0.1:{self._server.server_address[1]}"

    def connect(self, host: str, port: int) -> socket | None:
        """A connection to the target; None if it is unknown."""
        self.asked.append(f"{host}:{port}")
        if host in self.ports:
            return create_connection(("127.0.0.1", self.ports[host]), 5)
        try:
            ip_address(host)
        except ValueError:
            return None
        return create_connection((host, port), 5)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: SocksProxy) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        rbufsize = 0

        def handle(self) -> None:
            version = self.rfile.read(1)
            if version == b"\x05" and self._greeted():
                self._version_5()
            elif version == b"\x04":
                self._version_4()

        def _greeted(self) -> bool:
            offered = self.rfile.read(self.rfile.read(1)[0])
            if proxy.login is None:
                self.wfile.write(b"\x05\x00")
                return True
            if 2 not in offered:
                self.wfile.write(b"\x05\xff")
                return False
            self.wfile.write(b"\x05\x02")
            self.rfile.read(1)
            user, password = (self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2))
            good = f"{user}:{password}" == proxy.login
            self.wfile.write(b"\x01\x00" if good else b"\x01\x01")
            return good

        def _version_5(self) -> None:
            _, _, _, kind = self.rfile.read(4)
            if kind == 3:
                host = self.rfile.read(self.rfile.read(1)[0]).decode()
            else:
                host = str(ip_address(self.rfile.read(4 if kind == 1 else 16)))
            self._serve(host, b"\x05\x00\x00\x01" + bytes(6), b"\x05\x04\x00\x01" + bytes(6))

        def _version_4(self) -> None:
            _, self._port, address = self.rfile.read(1), int.from_bytes(self.rfile.read(2), "big"), self.rfile.read(4)
            self._word()
            named = address[:3] == b"\0\0\0" and address[3] != 0
            host = self._word() if named else str(ip_address(address))
            self._serve(host, b"\x00\x5a" + bytes(6), b"\x00\x5b" + bytes(6), self._port)

        def _word(self) -> str:
            word = b""
            while (byte := self.rfile.read(1)) not in (b"\0", b""):
                word += byte
            return word.decode()

        def _serve(self, host: str, good: bytes, bad: bytes, port: int | None = None) -> None:
            target = proxy.connect(host, int.from_bytes(self.rfile.read(2), "big") if port is None else port)
            self.wfile.write(good if target else bad)
            if target is not None:
                with target:
                    pass_both_ways(self.connection, target)

    return Handler
