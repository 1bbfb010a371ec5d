"""How yt-dlp is set up: every parameter that it gets, and why."""

import logging
import re
import sys
from pathlib import Path
from typing import Any

from narralytica_ingest.redaction import safe_words
from narralytica_ingest.sources.fetching import FetchOptions
from narralytica_ingest.sources.formats import USUAL_CHOICE, order
from narralytica_ingest.sources.ytdlp.access import opened

_LONGEST_LINE = 500  # characters
_MOST_WARNINGS = 200


def javascript_runtime() -> Path | None:
    """The deno that the environment brings with it, which yt-dlp needs for YouTube."""
    deno = Path(sys.executable).parent / "deno"
    return deno if deno.is_file() else None


def parameters(folder: Path, options: FetchOptions) -> dict[str, Any]:
    """The parameters of one fetch into `folder`. They hold secrets: never show them.

    Raises IngestError (needs_operator) where what should open the source cannot be used; see `access.opened`.
    """
    deno = options.deno or javascript_runtime()
    pause = dict.fromkeys(("http", "fragment", "file_access", "extractor"), _pause)
    access = opened(options.access)
    return access.parameters | {
        "format": USUAL_CHOICE,  # `extract` puts the choice by language before it
        "format_sort": order(options.max_height),
        "noplaylist": True,
        # A list's videos are not extracted, and one more is asked for than is taken.
        "extract_flat": "in_playlist",
        "playlist_items": f"1:{options.max_entries + 1}",
        "retries": options.retries,
        "fragment_retries": options.retries,
        "extractor_retries": options.retries,
        "file_access_retries": options.retries,
        "retry_sleep_functions": pause,
        "skip_unavailable_fragments": False,
        "socket_timeout": options.socket_timeout,
        "continuedl": False,
        "overwrites": True,
        "updatetime": False,
        "fixup": "never",
        "cachedir": False,
        "enable_file_urls": False,
        "js_runtimes": {"deno": {"path": str(deno)} if deno else {}},
        "remote_components": [],
        # None: an ffmpeg run by yt-dlp (for encrypted or live HLS) would go around all that is guarded here.
        "ffmpeg_location": str(folder / "no-ffmpeg"),
        "logger": Log(access.secrets),
        "noprogress": True,
        "buffersize": 1 << 16,
        "color": "never",
    }


def _pause(n: int) -> float:
    return float(min(2**n, 8)) / 2


class Log:
    """yt-dlp's own words go to our log, at debug level, without links and secrets. `warnings` are its last ones."""

    _log = logging.getLogger("narralytica_ingest.yt_dlp")

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        self._secrets = re.compile("|".join(re.escape(each) for each in sorted(secrets, key=len, reverse=True)) or "$^")
        self.warnings: list[str] = []

    def debug(self, message: str) -> None:
        if self._log.isEnabledFor(logging.DEBUG):
            self._log.debug("%s", self._safe(message))

    info = error = debug

    def warning(self, message: str, **_: Any) -> None:
        self.warnings = [*self.warnings, self._safe(message)][-_MOST_WARNINGS:]
        self.debug(message)

    def _safe(self, message: str) -> str:
        return safe_words(self._secrets.sub("(hidden)", str(message)), _LONGEST_LINE)
