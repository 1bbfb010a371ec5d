"""Which references to uploads a job may make: those to one bucket, below one prefix.

What belongs here: words alone, so that it is decided before the object store is asked. The worker's keys open more than
this; whoever may insert a job must not read with them.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources.identity import parse_upload_ref

MAX_KEY_BYTES = 1024  # S3's own limit; a longer one makes servers answer as if they were broken
_MAX_UNQUOTING = 4  # layers; what is still quoted then is refused


@dataclass(frozen=True)
class UploadArea:
    """One bucket and one prefix without slashes at its ends (empty: the whole bucket). `reserved`: the first segment of
    keys that are never uploads, since our own media files lie there, too."""

    bucket: str
    prefix: str = ""
    reserved: str | None = None

    def locate(self, ref: str) -> tuple[str, str]:
        """Bucket and key of a reference that leads into this area.

        Raises IngestError, permanent: `invalid_upload_ref` for what is no reference, `upload_not_allowed` for one that
        leads elsewhere, or may do so on a server that reads `..`, `//` or `%2e` as a file system does.
        """
        scheme, _, rest = ref.strip().partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() == "s3" and bucket and key and bucket != self.bucket:
            raise self._not_allowed()
        bucket, key = parse_upload_ref(ref)
        if len(key.encode()) > MAX_KEY_BYTES:
            raise failure("invalid_upload_ref", f"A key has at most {MAX_KEY_BYTES:,} bytes: correct the job.")
        if bucket != self.bucket or not _is_plain(key) or not self._is_below(key):
            raise self._not_allowed()
        return bucket, key

    def inside(self, key: str) -> str:
        """The key of an object within the area, from its place below the prefix."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def place(self, key: str) -> str:
        """The opposite: a key's place below the prefix."""
        return key.removeprefix(f"{self.prefix}/") if self.prefix else key

    def _is_below(self, key: str) -> bool:
        below = not self.prefix or key.startswith(f"{self.prefix}/")
        return below and (self.reserved is None or key.partition("/")[0] != self.reserved)

    def _not_allowed(self) -> IngestError:
        return failure(
            "upload_not_allowed",
            f"Uploads are taken from s3://{self.bucket}/{self.inside('')} only, by keys without"
            " empty or dotted segments: upload it there, then submit a new job.",
        )


def checked_prefix(prefix: str) -> str:
    """A prefix without slashes at its ends. Raises ValueError where no plain key begins with it."""
    prefix = prefix.strip("/")
    if prefix and not (_is_plain(prefix) and prefix.isprintable()):
        raise ValueError("must be segments of a key, without empty or dotted ones")
    return prefix


def _is_plain(key: str) -> bool:
    """Whether every server takes the key for the same object: no segment is empty, `.` or `..`, however it is quoted.
    One empty segment may end it: a key may look like a folder."""
    for _ in range(_MAX_UNQUOTING):
        segments = re.split(r"[/\\]", key)
        if any(each in ("", ".", "..") for each in segments[:-1]) or segments[-1] in (".", ".."):
            return False
        unquoted = unquote(key)
        if unquoted == key:
            return True
        key = unquoted
    return False
