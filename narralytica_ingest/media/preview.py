"""A small picture of a video for people to recognize it by, from its thumbnail or from one of its frames.

What belongs here: one bounded ffmpeg call. A preview is a convenience: whatever is in its way, there is none, and
nothing fails for it.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.ffmpeg import run_ffmpeg, untrusted_input
from narralytica_ingest.media.run import INPUT_LIMITS
from narralytica_ingest.media.tools import MediaTools

CONTENT_TYPE = "image/webp"
_SIZES = ((160, 30), (160, 8), (112, 8), (80, 4), (56, 2))  # longest side in pixels, quality of WebP (0 to 100)
_STILLS = {".jpeg": "jpeg_pipe", ".png": "png_pipe", ".webp": "webp_pipe"}
_SECONDS = 10.0  # a frame of 4K takes under one
_MAX_PIXELS = 8192 * 8192
_LARGEST = 1 << 20  # bytes; none of these sizes comes near
_LATEST = 60.0  # seconds into the video; titles and black are over by then

_log = logging.getLogger(__name__)


def preview_of_thumbnail(picture: Path, folder: Path, tools: MediaTools, largest: int) -> bytes | None:
    """The best WebP of at most `largest` bytes that shows the picture (JPEG, PNG, WebP or AVIF, told by its name)."""
    still = _STILLS.get(picture.suffix)
    if still is None:
        return _best(picture, untrusted_input(picture), folder, tools, largest)
    limits = INPUT_LIMITS | {"format_whitelist": still}
    source = ffmpeg.input(f"file:{picture.absolute()}", f=still, threads=1, **limits)
    return _best(picture, source, folder, tools, largest)


def preview_of_video(
    path: Path, probe: Mapping[str, Any], folder: Path, tools: MediaTools, largest: int
) -> bytes | None:
    """The best WebP of at most `largest` bytes that shows a key frame at a tenth of the video, or an audio file's
    cover."""
    moment = min((probe.get("duration_seconds") or 0.0) / 10, _LATEST) if probe.get("video") else 0.0
    source = untrusted_input(path, ss=f"{moment:.3f}", noaccurate_seek=None, threads=1, max_pixels=_MAX_PIXELS)
    return _best(path, source, folder, tools, largest)


def _best(path: Path, source: Any, folder: Path, tools: MediaTools, largest: int) -> bytes | None:
    """All sizes are made in one call, since decoding is most of the work; the first that fits is taken."""
    targets = [folder / f"preview-{side}-{quality}.webp" for side, quality in _SIZES]
    outputs = [
        ffmpeg.output(
            source["v:0"],
            f"file:{target.absolute()}",
            vframes=1,
            vf=f"scale={side}:{side}:force_original_aspect_ratio=decrease:force_divisible_by=2",
            pix_fmt="yuv420p",
            vcodec="libwebp",
            quality=quality,
            format="webp",
        )
        for target, (side, quality) in zip(targets, _SIZES, strict=True)
    ]
    try:
        bounded = replace(tools, timeout=min(tools.timeout, _SECONDS))
        reach = tools.reach(path, writes=targets, largest=_LARGEST)
        result = run_ffmpeg(ffmpeg.merge_outputs(*outputs), bounded, lambda _: None, reach)
        made = [target.read_bytes() for target in targets if target.is_file()] if result.returncode == 0 else []
    except (IngestError, OSError) as error:
        _log.info("no preview: %s", error)
        return None
    finally:
        for target in targets:
            target.unlink(missing_ok=True)
    return next((picture for picture in made if 0 < len(picture) <= largest), None)
