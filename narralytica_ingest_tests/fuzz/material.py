"""From bytes to what a part reads: texts, numbers, JSON.

Any bytes mean something, nearby bytes mean something similar, and plain ASCII means itself: that is what a fuzzer that
mutates bytes needs, and what Hypothesis shrinks well.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from narralytica_ingest.failures import IngestError

T = TypeVar("T")
Target = Callable[[bytes], None]

END = 0xFF  # of a text

# What a byte above 0x7f stands for in a text: words that parts look for, and characters that break readers.
_WORDS = r"""
http:// https:// s3:// file:/// // :// @ %2e%2e %2F %00 ../ \ ? & # #!/ www.youtube.com/ youtu.be/ watch?v= dQw4w9WgXcQ
&list=PL shorts/ @handle/ vimeo.com/ 123456789 player.vimeo.com/video/ dailymotion.com/video/ x5kesuj
attribution_link?u= signin?next= %252e :80 :443 [::1] [::ffff:127.0.0.1] 127.0.0.1 0x7f.1 2130706433 localhost xn--
token= password= Bearer Cookie: Authorization: X-Amz-Signature= sig= = ; , " ' < bytes 0-9/10 */ W/ gzip chunked
2026-03-14 20260314 T09:26:53+01:00 1e308 NaN und en-US -orig live_chat vtt 0/0 30000/1001 inf DOVI { }
] : arn:aws:s3: talks/ uploads
"""
_CHARACTERS = "\xdf\u3002\uff45\xe9\u0301\ud83d\ud800\udfff\0\x07\u202e\u200d\u2028\r\n\t\x85 "
_LONG = ("\x1b[31m", "\x1b]8;;", "9" * 400, "a" * 300, "[" * 1500, f"sha256/{'0' * 64}/", "<Untitled Chapter 1>")
WORDS = (*_WORDS.split(), *_CHARACTERS, *_LONG)
NUMBERS: tuple[float, ...] = (0, -1, 1, 86400, 2**31, 1773480413, 2**53 + 1, 2**63, -(2**63), 10**40, 10**400)
NUMBERS += (0.5, -0.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"), 32_503_680_000, 253402300800)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text that lists them."""
    return tuple(text.split())


class Material:
    """Reads on through the bytes; beyond their end all is zero, empty and None."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        """The next byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def left(self) -> bool:
        """Whether there are more."""
        return self._at < len(self._data)

    def rest(self) -> bytes:
        """All that is left."""
        at, self._at = self._at, len(self._data)
        return self._data[at:]

    def pick(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[self.byte() % len(choices)]

    def text(self) -> str:
        """A text, up to END: ASCII as it is, a WORD for most other bytes, and any character after 0xfe."""
        return "".join(self._pieces())

    def _pieces(self) -> Iterator[str]:
        while self.left() and (byte := self.byte()) != END:
            if byte < 0x80:
                yield chr(byte)
            elif byte < 0xFE:
                yield WORDS[byte - 0x80] if byte - 0x80 < len(WORDS) else WORDS[self.byte() % len(WORDS)]
            else:
                yield chr(int.from_bytes([self.byte(), self.byte(), self.byte()]) % 0x110000)

    def json(self, names: Sequence[str] = (), depth: int = 4) -> Any:
        """Whatever JSON may hold, and Python's reader makes of it; the names of objects are mostly of these."""
        kind = self.byte() % (9 if depth else 6)
        if kind < 3:
            return (None, True, False)[kind]
        if kind == 3:
            return self.text()
        if kind == 4:
            return self.pick(NUMBERS)
        if kind == 5:
            return int.from_bytes([self.byte(), self.byte()], signed=True) / self.pick((1, 10, 1000))
        if kind == 6:
            return [self.json(names, depth - 1) for _ in range(self.byte() % 5)]
        return self.facts(names, depth - 1)

    def facts(self, names: Sequence[str] = (), depth: int = 4) -> dict[str, Any]:
        """An object."""
        many = self.byte() % 12
        return {
            (self.pick(names) if names and self.byte() % 8 else self.text()): self.json(names, depth)
            for _ in range(many)
            if self.left()
        }


def attempt(work: Callable[[], T]) -> T | IngestError:
    """What `work` returns, or the failure that it raises."""
    try:
        return work()
    except IngestError as error:
        return error


@contextmanager
def in_time(seconds: float = 1.0) -> Iterator[None]:
    """The block must not use the processor for longer. Seconds are generous: a machine may be slow, a trap is not."""
    started = time.process_time()
    yield
    used = time.process_time() - started
    assert used < seconds, f"took {used:.1f} s of processor time"
