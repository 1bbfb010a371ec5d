"""How yt-dlp is set up: every parameter that it gets, and why."""

import logging
import sys
from pathlib import Path
from typing import Any

from narralytica_ingest.sources.fetching import FetchOptions


def javascript_runtime() -> Path | None:
    """The deno that the environment brings with it, which yt-dlp needs for YouTube."""
    deno = Path(sys.executable).parent / "deno"
    return deno if deno.is_file() else None


def parameters(folder: Path, options: FetchOptions) -> dict[str, Any]:
    deno = options.deno or javascript_runtime()
    pause = dict.fromkeys(("http", "fragment", "file_access", "extractor"), _pause)
    return {
        # The shorter side counts as height, so that a portrait video keeps its sharpness. `lang` first: the original
        # language before every quality.
        "format": "bv*+ba/b",
        "format_sort": ["lang", f"res:{options.max_height}"],
        "noplaylist": True,
        "playlist_items": "1:2",  # enough to know that there is more than one
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
        "logger": _Log(),
        "noprogress": True,
        "buffersize": 1 << 16,
        "color": "never",
    }


def _pause(n: int) -> float:
    return float(min(2**n, 8)) / 2


class _Log:
    """yt-dlp's own words go to our log, at debug level: they may hold signed URLs."""

    _log = logging.getLogger("narralytica_ingest.yt_dlp")

    def debug(self, message: str) -> None:
        self._log.debug("%s", message)

    info = warning = error = debug
