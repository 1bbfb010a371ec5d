"""Canaries: words that stand for secrets, and the search for them in all that a stack leaves behind.

A canary is of letters and digits alone, so that it looks the same in a URL, in JSON and in a shell; what is base64,
compressed or hexadecimal is opened before it is searched.
"""

import base64
import binascii
import gzip
import json
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:\\\\x)?((?:[0-9a-fA-F]{2}){12,})")
_COMPRESSED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
# A login in a URL, whosever it is, and that of the worker's own guard in any form: no test can know its password.
_LOGIN = re.compile(rb"[a-z][a-z0-9+.-]*://[^\s/:@\"'<>(){}\\]+:[^\s/@\"'<>(){}\\]+@|(?<![\w-])job:[\w-]{32}(?![\w-])")
_AROUND = 60


@dataclass
class Canaries:
    """The secrets of one test, by name. `also_in` are parts of names of places where one may stand, with the reason in
    the test."""

    words: dict[str, str] = field(default_factory=dict)
    also_in: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def new(self, name: str, *also_in: str) -> str:
        """A new secret."""
        return self.known(name, f"cnry{name}{secrets.token_hex(6)}", *also_in)

    def known(self, name: str, word: str, *also_in: str) -> str:
        """A secret that somebody else made."""
        self.words[name] = word
        self.also_in[name] = also_in
        return word

    def leaks(self, places: Mapping[str, bytes]) -> list[str]:
        """Where secrets are, and what stands around them."""
        return [leak for place, content in places.items() for leak in self._leaks(place, content)]

    def _leaks(self, place: str, content: bytes) -> Iterator[str]:
        layers = list(opened(content))
        for name, word in self.words.items():
            if any(part in place for part in self.also_in[name]):
                continue
            for depth, layer in enumerate(layers):
                if (at := layer.find(word.encode())) >= 0:
                    around = layer[max(0, at - _AROUND) : at + len(word) + _AROUND]
                    yield f"{name} in {place}{' (encoded)' if depth else ''}: …{around!r}…"
                    break


def logins(places: Mapping[str, bytes]) -> list[str]:
    """Every URL with a user and a password in it, and every login of a guard."""
    return [
        f"{found[0]!r} in {place}"
        for place, content in places.items()
        for layer in opened(content)
        for found in _LOGIN.finditer(layer)
        if not found[0].endswith(b"**@")  # as those write it who hide it
    ]


def opened(content: bytes, depth: int = 2) -> Iterator[bytes]:
    """The content, and what is encoded in it, and what is encoded in that."""
    yield content
    if depth:
        for inner in _inside(content):
            yield from opened(inner, depth - 1)


def _inside(content: bytes) -> Iterator[bytes]:
    for found in _BASE64.finditer(content):
        word = found[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        with suppress(binascii.Error):
            yield base64.b64decode(word + b"=" * (-len(word) % 4))
    for found in _HEX.finditer(content):
        yield bytes.fromhex(found[1].decode())
    for found in _COMPRESSED.finditer(content):
        with suppress(zlib.error, EOFError, gzip.BadGzipFile):
            yield zlib.decompressobj(47).decompress(content[found.start() :], 10_000_000)


def as_bytes(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows of a table, each value as it is written."""
    return b"\n".join(_value(value) for row in rows for value in row.values())


def _value(value: object) -> bytes:
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return (value if isinstance(value, str) else json.dumps(value, default=str)).encode()
