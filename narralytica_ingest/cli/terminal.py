"""What every command prints with: the two consoles, clean text, sizes and times, JSON.

What comes from sources (titles, URLs, error messages) is a stranger's text: it reaches a terminal only through `clean`
or `text`, so that it can neither move the cursor nor be taken for markup.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from narralytica_ingest.redaction import shown_url, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_REFERENCES = ("source_url", "upload_ref")  # columns that may hold a login or a signed URL
_PIPE_WIDTH = 4096  # no line is wrapped or cut for a reader that is no terminal


@cache
def out() -> "Console":
    """Standard output: what was asked for."""
    return _console(sys.stdout)


@cache
def err() -> "Console":
    """Standard error: what happens meanwhile. One console, so that messages and progress bars do not mix."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH)


def say(sentence: str, style: str = "") -> None:
    """One line on standard error."""
    err().print(text(sentence, style), soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on standard output, in ASCII, times in UTC. References to sources have nothing in them that opens these."""
    sys.stdout.write(json.dumps(_shown(value), indent=2, default=_plain) + "\n")
    sys.stdout.flush()


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _shown_field(name, each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def _shown_field(name: str, value: Any) -> Any:
    return shown_url(value) if name in _REFERENCES and isinstance(value, str) else _shown(value)


def _plain(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, as `2026-11-22T08:00:01.123456Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def text(value: object, style: str = "") -> "Text":
    """A stranger's text for the terminal: harmless, on one line, and never markup."""
    from rich.text import Text

    return Text(clean(str(value)), style=style, overflow="fold")


def clean(value: str) -> str:
    """The text on one line, with whatever a terminal might obey (or hide) written out as an escape."""
    return visible(value)


def size(count: float) -> str:
    """Bytes for people: `315.3 kB`."""
    from rich.filesize import decimal

    return decimal(int(count))


def seconds(count: float) -> str:
    """A length of time for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if count < 10:
        return f"{max(count, 0):.1f} s"
    whole = round(count)
    for unit, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def moment(value: datetime) -> str:
    """A point in time for people: `2026-11-22 08:00:01 UTC (3 min ago)`."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({distance(value)})"


def age(value: datetime) -> str:
    """How long ago that was, roughly: `3 min`."""
    whole = (datetime.now(UTC) - value).total_seconds()
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= unit:
            return f"{whole // unit:.0f} {name}"
    return f"{max(whole, 0):.0f} s"


def distance(value: datetime) -> str:
    """How far a point in time is from now: `3 min ago`, `in 12 s`."""
    away = (value - datetime.now(UTC)).total_seconds()
    return f"in {seconds(away)}" if away > 0 else f"{seconds(-away)} ago"
