"""What people name as a source: a local file, an upload, or anything with a scheme.

What belongs here: telling them apart, before anything is started. Whether the source is any good is the job's verdict.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from narralytica_ingest.failures import failure
from narralytica_ingest.redaction import shown_url

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True)
class Reference:
    """A source as it was named. `file` is set if it is a local file; `title` if we know one for it."""

    text: str
    file: Path | None = None
    title: str | None = None

    @property
    def is_upload(self) -> bool:
        """Whether it already lies in an object store."""
        return self.file is None and self.text.lower().startswith("s3://")

    @property
    def needs_s3(self) -> bool:
        """Whether the object store is needed to submit it."""
        return self.file is not None or self.is_upload


def parse(names: Iterable[str]) -> list[Reference]:
    """Raises IngestError for what is no source at all: `no_such_file`, `not_a_file`, `unreadable_file`, `not_text`."""
    return [_parse(name) for name in names]


def _parse(name: str) -> Reference:
    path = Path(name).expanduser()
    if name and os.path.exists(path):
        return Reference(name, _readable(path))
    if _SCHEME.match(name):
        return Reference(checked(name, "SOURCE"))
    raise failure(
        "no_such_file",
        f"There is no file {shown_url(name) or '(empty)'}: give an existing file, a URL, or s3://bucket/key.",
    )


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise failure("not_a_file", f"{path} is no regular file: give the video file itself.")
    if not os.access(path, os.R_OK):
        raise failure("unreadable_file", f"{path} may not be read: check its permissions.")
    return path


def checked(value: str, name: str) -> str:
    """The value, if Postgres can store it: arguments may hold other bytes than UTF-8. Raises IngestError `not_text`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise failure("not_text", f"{name} is not valid UTF-8: correct its encoding.") from None
    return value


def sample() -> Reference:
    """The clip that comes with the package: some seconds of speech."""
    clip = Path(__file__).parents[1] / "samples" / "speech.mp4"
    return Reference(str(clip), clip, title="Bundled sample clip with speech")
