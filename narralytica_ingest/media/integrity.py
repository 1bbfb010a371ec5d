"""Whether two files are the same, and whether one is whole.

What belongs here: hashes of bytes and of packets, and how far a file can really be read.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.ffmpeg import run_ffmpeg, untrusted_input
from narralytica_ingest.media.probe import Probe, probe
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

_BLOCK = 1 << 20
_ANNOUNCING = {"mp4", "mov", "m4a", "mkv", "webm"}
# How much shorter than announced a whole file may be. Containers round to frames and drop the encoder's padding
# (at most some 0.1 s); long recordings drift by fractions of a percent.
TOLERANCE_SECONDS = 0.5
TOLERANCE_SHARE = 0.005
# Containers frame the same coded data differently (start codes of two lengths or sizes, access unit delimiters, ADTS
# headers or none): one form for comparing.
_ONE_FORM = {
    "h264": "h264_mp4toannexb,h264_metadata=aud=remove",
    "hevc": "hevc_mp4toannexb,hevc_metadata=aud=remove",
    "aac": "aac_adtstoasc",
}


def sha256_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file in hex, read in blocks. `progress` gets the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if progress is not None:
                progress(done)
    return digest.hexdigest()


def packet_hashes(path: Path, tools: MediaTools) -> list[str]:
    """The SHA-256 of each track's packets (`v:<hex>`, `a:<hex>`, in the order of tracks), free of container framing.

    Equal for two files when remuxing lost and changed nothing.
    """
    measured = probe(path, tools)
    source = untrusted_input(path)
    hashes = []
    for kind, streams in (("v", measured.video), ("a", measured.audio)):
        for stream in streams:
            options: dict[str, Any] = {"c": "copy", "format": "streamhash", "hash": "sha256"}
            if stream.codec in _ONE_FORM:
                options[f"bsf:{kind}"] = _ONE_FORM[stream.codec]
            arguments = ffmpeg.output(source[str(stream.index)], "pipe:1", **options).get_args()
            result = run_tool([tools.ffmpeg, "-nostdin", "-v", "error", *arguments], timeout=tools.timeout)
            if result.returncode != 0:
                raise failure("undecodable_media", "The file's packets cannot be read: it is damaged.")
            hashes.append(f"{kind}:{result.stdout.strip().rpartition('=')[2]}")
    return hashes


def require_whole(path: Path, measured: Probe, tools: MediaTools) -> None:
    """Reads the whole file once without decoding and compares how far it goes with what it announces.

    Only containers that announce a length of their own are judged; of others it is an estimate.
    Raises IngestError `truncated_media` (permanent), `media_timeout`.
    """
    announced = measured.duration_seconds
    if announced is None or measured.extension not in _ANNOUNCING:
        return
    found = demuxed_seconds(path, tools)
    if is_short(found, announced):
        raise truncated(announced, found)


def is_short(found: float, announced: float) -> bool:
    """Whether `found` seconds are too few for a file that announces so many."""
    return found == 0 or announced - found > max(TOLERANCE_SECONDS, announced * TOLERANCE_SHARE)


def truncated(announced: float, found: float) -> IngestError:
    """The verdict on a file that ends before it should."""
    return failure(
        "truncated_media",
        f"The file announces {announced:.1f} seconds, but only {found:.1f} can be read: it is cut off or damaged; "
        "submit a whole copy.",
    )


def demuxed_seconds(path: Path, tools: MediaTools) -> float:
    """How far the file can be read without decoding: the end of its last packet, in seconds from the file's start."""
    reached = 0.0

    def remember(seconds: float) -> None:
        nonlocal reached
        reached = max(reached, seconds)

    run_ffmpeg(ffmpeg.output(untrusted_input(path), "-", c="copy", map="0", format="null"), tools, remember)
    return reached
