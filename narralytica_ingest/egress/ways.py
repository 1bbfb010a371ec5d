"""How a connection to a checked host is made: straight, or through the operator's proxy.

What belongs here: sockets up to the point where the first byte of a request may be sent.
"""

import errno
import os
import re
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from narralytica_ingest.egress.judge import checked, is_plain_name, judge
from narralytica_ingest.egress.policy import EgressPolicy
from narralytica_ingest.egress.relay import ClientGone
from narralytica_ingest.egress.resolve import Found, addresses

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080
_LOGIN_REFUSED = re.compile(r"(?i)authentication|\b407\b")


class ProxyFailed(Exception):
    """The operator's proxy makes no connection. `wants_login`: it says that the login is missing or wrong."""

    def __init__(self, words: str, wants_login: bool = False) -> None:
        super().__init__(words)
        self.wants_login = wants_login


@dataclass(frozen=True)
class Way:
    """A connection, and how requests are to be written on it: for another proxy (`login` is its
    `Proxy-Authorization`), or for the host itself."""

    connection: socket.socket
    to_proxy: bool = False
    login: bytes | None = None


class Straight:
    """No proxy: to the checked addresses in their order, each once."""

    def __init__(self, policy: EgressPolicy, timeout: float) -> None:
        self._policy, self._timeout = policy, timeout

    def to(self, host: str, port: int, client: socket.socket, tunnel: bool) -> Way:  # noqa: ARG002 (as the other way)
        """Raises Refused, OSError (no such host, refused, in no time), UnicodeError, ClientGone."""
        return Way(connect_to(checked(self._policy, host, port), self._timeout, client))


class ThroughProxy:
    """Through the operator's proxy, whose own address is no source's affair.

    Names are judged by what they are here. One that is unknown here may be known there, so the proxy is asked for it;
    its own rules are then all that is left. `socks4` and `socks5` are given addresses, all others names.
    """

    def __init__(self, policy: EgressPolicy, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._policy, self._timeout = policy, timeout
        self._scheme = parts.scheme.lower()
        self._host = parts.hostname or ""
        self._port = parts.port or _DEFAULT_PORTS.get(self._scheme, _SOCKS_PORT)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")

    def to(self, host: str, port: int, client: socket.socket, tunnel: bool) -> Way:
        """Raises Refused, OSError (no such host, in no time), UnicodeError, ProxyFailed, ClientGone."""
        found = self._found(host, port)
        if self._scheme in _DEFAULT_PORTS and not tunnel:
            return Way(self._to_proxy(client), to_proxy=True, login=self._login())
        gives_address = self._scheme in ("socks4", "socks5")
        target = _preferred(found, self._scheme) if gives_address else host.rstrip(".")
        return Way(self._tunnel(self._to_proxy(client), target, port))

    def _found(self, host: str, port: int) -> list[Found]:
        try:
            return checked(self._policy, host, port)
        except (OSError, UnicodeError):
            if self._scheme in ("socks4", "socks5") or not is_plain_name(host):
                raise
            judge(self._policy, host, port, ())
            return []

    def _to_proxy(self, client: socket.socket) -> socket.socket:
        try:
            plain = connect_to(addresses(self._host, self._port), self._timeout, client)
        except (OSError, UnicodeError) as error:
            raise ProxyFailed(f"the proxy cannot be reached ({type(error).__name__})") from None
        plain.settimeout(self._timeout)
        if self._scheme != "https":
            return plain
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self._host)
        except OSError as error:
            plain.close()
            raise ProxyFailed(f"the proxy does not speak TLS ({type(error).__name__})") from None

    def _login(self) -> bytes | None:
        if not self._user and not self._password:
            return None
        return b"Basic " + b64encode(f"{self._user}:{self._password}".encode())

    def _tunnel(self, reached: socket.socket, host: str, port: int) -> socket.socket:
        from python_socks import ProxyError, ProxyType
        from python_socks.sync import Proxy

        kinds = {"socks4": ProxyType.SOCKS4, "socks5": ProxyType.SOCKS5}
        kind = kinds.get(self._scheme[:6], ProxyType.HTTP)
        proxy = Proxy(kind, self._host, self._port, self._user, self._password, True, _Reached(reached))  # type: ignore[arg-type]
        try:
            return proxy.connect(host, port, self._timeout)
        except (ProxyError, OSError, ValueError) as error:
            # What the proxy says may quote what it was sent.
            wants_login = getattr(error, "error_code", None) == 407 or bool(_LOGIN_REFUSED.search(str(error)))
            raise ProxyFailed("the proxy makes no connection to the source", wants_login) from None


def connect_to(found: Sequence[Found], timeout: float, client: socket.socket) -> socket.socket:
    """A connection (which does not block) to the first of the addresses that takes one, within `timeout` seconds.

    Raises OSError as the last address failed, and ClientGone as soon as nobody waits for it any more.
    """
    until = time.monotonic() + timeout
    last: OSError = TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    for number, each in enumerate(found):
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            return _connected(each, left / (len(found) - number), client)
        except OSError as error:
            last = error
    raise last


def _connected(found: Found, timeout: float, client: socket.socket) -> socket.socket:
    connection = socket.socket(found.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failed = connection.connect_ex(found.sockaddr)
        if failed in (errno.EINPROGRESS, errno.EINTR):
            failed = _finished(connection, timeout, client)
        if failed == errno.ETIMEDOUT:
            raise TimeoutError(failed, os.strerror(failed))
        if failed:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        connection.close()
        raise
    return connection


def _finished(connection: socket.socket, timeout: float, client: socket.socket) -> int:
    """How a connection that was begun turned out, as an error number."""
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    poll.register(client, 0)  # tells of its end alone
    ready = dict(poll.poll(timeout * 1000))
    if client.fileno() in ready:
        raise ClientGone
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else errno.ETIMEDOUT


def _preferred(found: Sequence[Found], scheme: str) -> str:
    """The address that a proxy is given, which is of version 4 for `socks4`."""
    usable = [each for each in found if scheme != "socks4" or each.family == socket.AF_INET]
    if not usable:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return usable[0].address


class _Reached:
    """Stands for a proxy before the proxy, which is what python-socks takes a connection from."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def connect(self, **_: object) -> socket.socket:
        return self._connection
