"""A cookies file (cookies.txt), read with care.

What belongs here: the check of a file in Netscape's format. yt-dlp's own reader prints the lines that it does not
understand, values and all; so only what was understood here is given to it.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from narralytica_ingest.failures import IngestError, failure

_LARGEST = 16 << 20  # bytes
_HEADER = re.compile(r"#( Netscape)? HTTP Cookie File")
_HTTP_ONLY = "#HttpOnly_"
_EXPORT = "export the cookies in Netscape's format (cookies.txt)"


@dataclass(frozen=True)
class Cookies:
    """What a cookies file holds. `text` is the file, and secret; `domains` counts the cookies that have not expired."""

    text: str = field(repr=False)
    domains: Counter[str]
    expired: int

    @property
    def values(self) -> list[str]:
        """The values, for whoever must keep them out of what is shown."""
        rows = (line.split("\t") for line in self.text.split("\n"))
        return [row[6] for row in rows if len(row) == 7 and row[6]]


def read_cookies(path: Path, now: float | None = None) -> Cookies:
    """The cookies in a file, which is only read. Raises IngestError `cookies_unusable` (local)."""
    now = time.time() if now is None else now
    try:
        if path.stat().st_size > _LARGEST:
            raise cookies_unusable("The cookies file is too large", _EXPORT)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise cookies_unusable(
            f"The cookies file {reason}", "make NARRALYTICA_COOKIES_FILE name a file that the worker may read"
        ) from None
    except UnicodeDecodeError:
        raise cookies_unusable("The cookies file is not text in UTF-8", _EXPORT) from None
    return _parsed(text, now)


def cookies_unusable(what: str, mend: str) -> IngestError:
    """The failure, of which `what` and `mend` are said; neither may hold a cookie."""
    return failure("cookies_unusable", f"{what}: {mend}. The job goes on by itself.")


def _parsed(text: str, now: float) -> Cookies:
    if text.lstrip()[:1] in ("[", "{"):
        raise cookies_unusable("The cookies file is JSON", _EXPORT)
    lines = text.split("\n")
    if not _HEADER.match(lines[0]):
        raise cookies_unusable('The cookies file does not begin with "# Netscape HTTP Cookie File"', _EXPORT)
    domains: Counter[str] = Counter()
    expired = 0
    for number, line in enumerate(lines, 1):
        cookie = line.removeprefix(_HTTP_ONLY)
        if cookie.strip() and not cookie.startswith("#"):
            domain, expires = _cookie(cookie, number)
            if 0 < expires < now:
                expired += 1
            else:
                domains[domain.lstrip(".")] += 1
    return Cookies(text, domains, expired)


def _cookie(line: str, number: int) -> tuple[str, float]:
    """Domain and expiry (epoch seconds; 0: with the session) of one line."""
    fields = line.split("\t")
    # http.cookiejar needs a leading dot exactly where subdomains are meant.
    if len(fields) == 7 and fields[0].strip(".") and fields[2].startswith("/") and fields[5] + fields[6]:
        domain, subdomains, _, secure, expires, *_ = fields
        flags = {subdomains, secure} <= {"TRUE", "FALSE"} and (subdomains == "TRUE") == domain.startswith(".")
        if flags and re.fullmatch(r"([0-9]+(\.[0-9]+)?)?", expires):
            return domain, float(expires or 0)
    raise cookies_unusable(f"Line {number} of the cookies file is no cookie", _EXPORT)
