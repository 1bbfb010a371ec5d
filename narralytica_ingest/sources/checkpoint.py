"""What proves that a partial file belongs to the same remote bytes as before, kept in a small file beside it.

What belongs here: the pure decision how much of a partial may be trusted, and the reading and writing of its
checkpoint. No network, no yt-dlp. A checkpoint holds digests and validators, never a URL.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from narralytica_ingest.sources.remote_file import RemoteFile

# Names of query parameters that a signed link changes each time it is given out.
_EXPIRING = re.compile(
    r"expires?|expiry|exp|e|ttl|ts|timestamp|signature|sign?|lsig|hmac|hash|md5|policy|key-pair-id|nonce|session(?:_?id)?"
    r"|\w*token|auth\w*|hdn(?:ea|ts|tl)|x-(?:amz|goog|oss|cos|bce)-.*",
    re.IGNORECASE,
)
_AZURE = {"sv", "se", "sp", "sr", "st", "spr", "ske", "skoid", "sks", "skt", "sktid", "skv"}
_SIGNED_SEGMENT = re.compile(r"(?:exp|expires|st|hdn(?:ea|ts|tl)|token|hmac|sig|signature|acl)=.*", re.IGNORECASE)
# What names a file of googlevideo.com: format, version, length, variant (language, loudness) and fragment.
_GOOGLE_NAMES = ("itag", "lmt", "clen", "xtags", "sq", "range")


@dataclass(frozen=True)
class Mark:
    """How far a partial had got: `size` bytes, which are `fragments` fragments, the last of `last` bytes."""

    size: int = 0
    fragments: int = 0
    last: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """`source`: digest of what is fetched. `file`: its validators, or None for fragments. `boot`: the boot of the
    machine that wrote the partial. `written`: how far it is whole; None where every byte of the file counts. `synced`:
    what is on the disk for sure."""

    source: str
    file: RemoteFile | None
    boot: str | None
    written: Mark | None = None
    synced: Mark = Mark()

    def trusted(self, source: str, boot: str | None, size: int) -> Mark | None:
        """How much of a partial of `size` bytes may be gone on with; None: nothing.

        Within one boot of the machine the page cache keeps what was written, whatever became of the process. After
        another one only what was synced is certain.
        """
        if self.source != source or not (self.written if self.file is None else self.file.is_proof):
            return None
        same_boot = boot is not None and boot == self.boot
        mark = (self.written or Mark(size)) if same_boot else self.synced
        most = size if self.file is None or self.file.length is None else min(size, self.file.length)
        return mark if 0 < mark.size <= most else None

    def save(self, path: Path) -> None:
        """Replaces the file at once, so that a kill leaves the old checkpoint or the new one."""
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(temporary, path)


def load_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint, or None if there is none that can be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        file, written = values["file"], values["written"]
        return Checkpoint(
            source=str(values["source"]),
            file=None if file is None else _remote_file(file),
            boot=values["boot"],
            written=None if written is None else _mark(written),
            synced=_mark(values["synced"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _remote_file(values: dict[str, Any]) -> RemoteFile:
    file = RemoteFile(**values)
    length = 0 if file.length is None else file.length
    if not all(isinstance(each, str | None) for each in (file.etag, file.last_modified)) or type(length) is not int:
        raise ValueError("not a remote file")
    return file


def _mark(values: dict[str, Any]) -> Mark:
    mark = Mark(**values)
    if not all(type(number) is int and number >= 0 for number in asdict(mark).values()) or mark.last > mark.size:
        raise ValueError("not a mark")
    return mark


def boot_id() -> str | None:
    """The name of the machine's boot; None where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def digest(parts: Iterable[object]) -> str:
    """One name for what is fetched: format id, stable URL, or a list of fragments."""
    return hashlib.sha256(json.dumps([*parts], default=str).encode()).hexdigest()


def stable_url(url: str) -> str:
    """The URL without what changes when the same file's link is given out again: signatures, expiry, tokens.

    Dropping too much does no harm, for the validators have to agree as well; dropping too little only means that a
    download starts again.
    """
    parts = urlsplit(url)
    host, query = (parts.hostname or "").rstrip("."), parse_qsl(parts.query, keep_blank_values=True)
    names = {name.lower() for name, _ in query}
    if host.endswith(".googlevideo.com") and {"itag", "lmt", "clen"} <= names:
        # The host is picked anew each time, and so is `id`, which is the video's own name in a new cipher.
        return "googlevideo?" + urlencode(sorted(pair for pair in query if pair[0] in _GOOGLE_NAMES))
    expiring = _AZURE if "sig" in names else set[str]()
    kept = [(name, value) for name, value in query if not _EXPIRING.fullmatch(name) and name.lower() not in expiring]
    path = "/".join(segment for segment in parts.path.split("/") if not _SIGNED_SEGMENT.fullmatch(segment))
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{path}?{urlencode(sorted(kept))}"
