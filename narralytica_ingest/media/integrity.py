"""Whether two files are the same, and whether one is whole.

What belongs here: hashes of bytes and of packets, and how far a file can really be read.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.failures import permanent
from narralytica_ingest.media.ffmpeg import run_ffmpeg, untrusted_input
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

_BLOCK = 1 << 20
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
                raise permanent("undecodable_media", "The file's packets cannot be read: it is damaged.")
            hashes.append(f"{kind}:{result.stdout.strip().rpartition('=')[2]}")
    return hashes


def demuxed_seconds(path: Path, tools: MediaTools) -> float:
    """How far the file can be read without decoding: the end of its last packet, in seconds from the file's start."""
    reached = 0.0

    def remember(seconds: float) -> None:
        nonlocal reached
        reached = max(reached, seconds)

    run_ffmpeg(ffmpeg.output(untrusted_input(path), "-", c="copy", map="0", format="null"), tools, remember)
    return reached
