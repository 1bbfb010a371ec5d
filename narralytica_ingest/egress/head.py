"""The heads of HTTP messages, read strictly where they come from a client and as they are where a source sends them.

What belongs here: bytes in, bytes out, without a socket. A request that two readers could understand in two ways is
refused; of an answer nothing is changed except what says how long its connection lasts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST_HEAD = 64 << 10  # bytes, of a request and of an answer
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(?P<method>" + _TOKEN + rb") (?P<target>[\x21-\x7e\x80-\xff]+) HTTP/1\.(?P<minor>[01])")
_FIELD = re.compile(rb"(?P<name>" + _TOKEN + rb"):[ \t]*(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LITERAL = rb"\[(?P<literal>[0-9A-Fa-f:.]+(?:%[\w.%~-]+)?)\]"
_AUTHORITY = re.compile(
    rb"(?:\[(?P<literal>[0-9A-Fa-f:.]+(?:%[\w.%~-]+)?)\]|(?P<name>[^\s:/?#@\[\]\\]+))(?::(?P<port>[0-9]{1,5}))?"
)
_ABSOLUTE = re.compile(rb"(?i:http)://(?P<authority>[^/?#]*)(?P<path>(?:/[^?#]*)?(?:\?[^#]*)?)(?:#.*)?")
_END = re.compile(rb"\r?\n\r?\n")
_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings"}
_FRAMING = {b"host", b"content-length", b"transfer-encoding"}


class BadRequest(Exception):
    """A request that is none, or that could be understood in two ways. `status` is what it is answered with."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class RequestHead:
    """A request for a proxy: `CONNECT host:port`, or any other method with an absolute URL of the scheme `http`.

    `fields` are in their order and with their spelling. `length` is the body's in bytes; None: it comes in chunks.
    """

    method: bytes
    host: str
    port: int
    authority: bytes
    path: bytes
    minor: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None

    @property
    def is_tunnel(self) -> bool:
        return self.method == b"CONNECT"

    @property
    def login(self) -> bytes:
        """What the client gave as `Proxy-Authorization`; empty if nothing."""
        return next((value for name, value in self.fields if name.lower() == b"proxy-authorization"), b"")

    def forwarded(self, absolute: bool = False, login: bytes | None = None) -> bytes:
        """The head as it goes on: one request on its connection, for the very host that was judged.

        `absolute` and `login` (a value of `Proxy-Authorization`) are for another proxy behind this one.
        """
        target = b"http://" + self.authority + self.path if absolute else self.path
        lines = [b"%s %s HTTP/1.%s" % (self.method, target, self.minor), b"Host: " + self.authority]
        lines += [name + b": " + value for name, value in self._kept()]
        lines += [b"Proxy-Authorization: " + login] if login is not None else []
        return b"\r\n".join([*lines, b"Connection: close", b"", b""])

    def _kept(self) -> Iterator[tuple[bytes, bytes]]:
        named = {word.strip().lower() for name, value in self.fields if name.lower() == b"connection"
                 for word in value.split(b",")}  # fmt: skip
        dropped = _HOP_BY_HOP | (named - _FRAMING) | {b"host"}
        for name, value in self.fields:
            if name.lower() not in dropped and not name.lower().startswith(b"proxy-"):
                yield name, value


def split_head(received: bytes | bytearray) -> int | None:
    """Where the head of a request ends; None while it goes on. Raises BadRequest where it cannot end well."""
    end = received.find(b"\r\n\r\n")
    head = received if end < 0 else received[:end]
    if re.search(rb"(?<!\r)\n", head):
        raise BadRequest(400, "a line that ends in a bare LF")
    if (len(received) if end < 0 else end) > LARGEST_HEAD:
        raise BadRequest(431, "a head that is too large")
    return None if end < 0 else end + 4


def parse_request(head: bytes) -> RequestHead:
    """Reads a head that `split_head` found. Raises BadRequest."""
    line, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise BadRequest(400, "no request line")
    fields = tuple(_field(each) for each in rest)
    length = _body_length(fields, found["minor"])
    method, target = found["method"], found["target"]
    if method == b"CONNECT":
        host, port = _host_and_port(target, None)
        if length != 0:
            raise BadRequest(400, "a tunnel with a body")
        return RequestHead(method, host, port, target, b"", found["minor"], fields, 0)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadRequest(400, "no absolute URL of the scheme http")
    host, port = _host_and_port(absolute["authority"], 80)
    path = absolute["path"] if absolute["path"].startswith(b"/") else b"/" + absolute["path"]
    return RequestHead(method, host, port, absolute["authority"], path, found["minor"], fields, length)


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise BadRequest(400, "a line that is no header")
    return found["name"], found["value"]


def _host_and_port(authority: bytes, usual: int | None) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or (found["port"] is None and usual is None):
        raise BadRequest(400, "no host and port")
    port = usual if found["port"] is None else int(found["port"])
    if port is None or not 0 < port < 65_536:
        raise BadRequest(400, "no port")
    try:
        return (found["literal"] or found["name"]).decode(), port
    except UnicodeDecodeError:
        raise BadRequest(400, "no host") from None


def _body_length(fields: tuple[tuple[bytes, bytes], ...], minor: bytes) -> int | None:
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if codings:
        if codings != [b"chunked"] or lengths or minor != b"1":
            raise BadRequest(400, "a body whose end is uncertain")
        return None
    if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0])):
        raise BadRequest(400, "a body whose end is uncertain")
    return int(lengths[0]) if lengths else 0


# ---- answers ---------------------------------------------------------------------------------------------------------


def split_answer(received: bytes | bytearray) -> int | None:
    """Where the head of an answer ends; None while it goes on; 0 where it is none, or too large to be looked at."""
    if not b"HTTP/".startswith(received[:5]) and not received.startswith(b"HTTP/"):
        return 0
    found = _END.search(received, 0, LARGEST_HEAD)
    if found is not None:
        return found.end()
    return None if len(received) < LARGEST_HEAD else 0


def is_interim(head: bytes) -> bool:
    """Whether another head follows this one."""
    return re.match(rb"HTTP/\d\.\d 1(?!01)\d\d", head) is not None


def closing(head: bytes) -> bytes:
    """The head of an answer, saying that its connection ends with it; all else as it came, byte for byte."""
    status, *lines = re.split(rb"(?<=\n)", head)
    kept, drops = [status, b"Connection: close\r\n"], False
    for line in lines:
        if not line.startswith((b" ", b"\t")):  # else it goes on with the line before
            name = line.partition(b":")[0].strip().lower()
            drops = name in (b"connection", b"keep-alive") or name.startswith(b"proxy-conn")
        if not drops:
            kept.append(line)
    return b"".join(kept)
