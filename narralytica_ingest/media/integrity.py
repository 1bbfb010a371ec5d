"""Whether two files are the same, and whether one is whole.

What belongs here: hashes of bytes and of packets, and what is wrong with a file, as findings.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ffmpeg

from narralytica_ingest.failures import failure
from narralytica_ingest.media.ffmpeg import untrusted_input
from narralytica_ingest.media.ffprobe_values import duration as stream_duration
from narralytica_ingest.media.findings import Finding
from narralytica_ingest.media.probe import AudioStream, Probe, probe
from narralytica_ingest.media.profiles import SAMPLE_RATE
from narralytica_ingest.media.reading import Reading, StreamReading, count_lines, read_through
from narralytica_ingest.media.run import MAX_ALLOC, run_tool
from narralytica_ingest.media.structure import lacks_its_end, missing_bytes
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.media.tracks import choose

_BLOCK = 1 << 20
_RATES = (1_000, 4_000_000)  # samples a second; from telephones' 4,000 to 768,000 there is room on both sides
_SAMPLE_BYTES = 4
_FILLABLE = MAX_ALLOC * 9 // 10  # bytes: 41 minutes of two channels at 48 kHz (46 came out whole, 60 as 46)
# Containers that announce how long they are; AVI's header counts pictures, and recorders leave it wrong. Others
# announce nothing, and ffprobe estimates.
_ANNOUNCING = {"mp4", "mov", "m4a", "3gp", "mkv", "mka", "webm", "flac", "flv", "asf", "mxf", "mp3", "wav", "aiff"}
_CLAIMING = {"avi"}
MAX_LOST_SHARE = 0.25
"""Share of packets that cannot be decoded (ffmpeg's `-max_error_rate`) beyond which a track is `undecodable_media`: one
word in four would be missing."""
_MANY_COMPLAINTS = 16_000  # characters; `run_tool` keeps no more
_CUT = re.compile(r"ended prematurely|partial file")
_UNDECODABLE = re.compile(
    r"Error while decoding stream|Error submitting (?:a )?packet to (?:the )?decoder|error decoding the audio block|"
    r"CRC (?:mismatch|error)|Packet mismatch|Invalid track number|packet_(?:obj|frag)_size .*invalid"
)
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
            command = [tools.ffmpeg, "-nostdin", "-v", "error", "-max_alloc", str(MAX_ALLOC), *arguments]
            result = run_tool(command, timeout=tools.timeout, reach=tools.reach(path))
            if result.returncode != 0:
                raise failure("undecodable_media", "The file's packets cannot be read: it is damaged.")
            hashes.append(f"{kind}:{result.stdout.strip().rpartition('=')[2]}")
    return hashes


def inspect(path: Path, measured: Probe, tools: MediaTools) -> list[Finding]:
    """Reads the whole file once without decoding, and says what is wrong with it; `judge` says what follows.

    Finds `truncated_media`, `empty_track`, `damaged_media`, `gaps`, `duration_differs`. What is rotten inside coded
    sound or pictures shows only when it is decoded: see `track_findings`. Raises IngestError: `too_long` and, where no
    decoder or filter could make a track of the sound, `undecodable_media` (both permanent); `media_timeout`.
    """
    taken = choose(measured)[0].stream if measured.audio else None
    if taken is not None:
        _require_usual_rate(taken)
    reading = read_through(path, measured, tools)
    if taken is not None:
        _require_fillable(taken, reading.streams[taken.index])
    found = [
        _cut_bytes(path, measured) or _cut_time(measured, reading) or _other_duration(measured, reading),
        _without_sound(measured, reading),
        _broken(measured, reading) or _unended(path, measured),
    ]
    return [each for each in found if each is not None] + _holes(measured, reading)


def _require_usual_rate(stream: AudioStream) -> None:
    least, most = _RATES
    if stream.sample_rate and not least <= stream.sample_rate <= most:
        raise failure("undecodable_media", f"The sound has {stream.sample_rate:,} samples a second: no recording has.")


def _require_fillable(stream: AudioStream, read: StreamReading) -> None:
    """ffmpeg keeps the silence of a hole in memory, as samples of four bytes, and cuts short what needs more than one
    allocation may have: all that follows would come too early."""
    hole, where = read.longest_hole
    needed = hole * (stream.sample_rate or SAMPLE_RATE) * (stream.channels or 1) * _SAMPLE_BYTES
    if needed > _FILLABLE:
        said = (
            f"The sound has a hole of {hole:,.0f} s at {where:,.0f} s, too long to be filled with silence: cut it out."
        )
        raise failure("undecodable_media", said)


def track_findings(measured: Probe, stream: AudioStream, seconds: float, complaints: str) -> list[Finding]:
    """What is wrong with a track that was made of `stream`: it has `seconds` from the file's start, and ffmpeg said
    `complaints` (its standard error at `-v error`).

    Finds `empty_track`, `truncated_media`, `damaged_media`, `duration_differs`. A track that is short though nothing
    broke is believed: that the file is whole was seen by `inspect` before it was stored.
    """
    if seconds <= 0:
        return [Finding("empty_track", "Nothing of the sound track can be decoded: submit a whole copy.")]
    places = count_lines(_UNDECODABLE, complaints)
    found = [_undecodable(places, complaints)] if places else []
    own = announced_seconds(measured, stream)
    announced = announced_seconds(measured) if own is None else own + _delay(measured, stream)
    if announced is None or not is_short(seconds, announced):
        return found
    if _CUT.search(complaints) or (places and own is not None):
        return [_truncated(announced, seconds), *found]
    if own is None:  # the sound may end before the picture does
        return found
    return [*found, Finding("duration_differs", f"The sound announces {announced:.1f} seconds, and has {seconds:.1f}.")]


def decoding_care(stream: AudioStream) -> dict[str, Any]:
    """Options of ffmpeg's input that let damage be noticed. Only FLAC's checksums are looked at: of AC-3 there are
    encoders whose checksums are wrong, and ffmpeg would replace all their sound."""
    return {"err_detect": "crccheck"} if stream.codec == "flac" else {}


def announced_seconds(measured: Probe, stream: AudioStream | None = None) -> float | None:
    """How long the file (or its stream) says it is; None where its container says nothing that can be relied on."""
    if measured.extension not in _ANNOUNCING or measured.duration_is_estimated:
        return None
    if stream is not None:
        return stream.duration_seconds
    lengths = [each.duration_seconds for each in measured.streams]
    known = [each for each in lengths if each is not None]
    # The file's own length may be that of a data track, or wrong where its tracks' are right.
    return max(known) if known and len(known) == len(lengths) else measured.duration_seconds


def _delay(measured: Probe, stream: AudioStream) -> float:
    return max(0.0, (stream.start_seconds or 0.0) - (measured.start_seconds or 0.0))


def _undecodable(places: int, complaints: str) -> Finding:
    more = "at least " if len(complaints) > _MANY_COMPLAINTS else ""
    return Finding("damaged_media", f"The sound cannot be decoded at {more}{_count(places, 'place')}; the rest can.")


def _cut_bytes(path: Path, measured: Probe) -> Finding | None:
    missing = missing_bytes(path, measured.extension)
    if not missing:
        return None
    return Finding(
        "truncated_media",
        f"The file ends {missing:,} bytes before its last part does: it is cut off; submit a whole copy.",
    )


def _cut_time(measured: Probe, reading: Reading) -> Finding | None:
    announced = announced_seconds(measured)
    if announced is None:
        return None
    found = _reached(reading)
    if is_short(found, announced):
        return _truncated(announced, found)
    for stream in measured.audio:
        own, read = announced_seconds(measured, stream), reading.streams[stream.index]
        length = read.end - min(read.start or 0.0, 0.0)
        if own is not None and read.packets and is_short(length, own):
            return _truncated(own, length)
    return None


def _without_sound(measured: Probe, reading: Reading) -> Finding | None:
    if measured.audio and not any(reading.streams[each.index].packets for each in measured.audio):
        return Finding("empty_track", "The file announces sound and holds none: submit a whole copy.")
    return None


def _broken(measured: Probe, reading: Reading) -> Finding | None:
    places = max(reading.broken_places, reading.corrupt_packets)
    if measured.extension == "flac":  # a frame whose checksum is wrong loses its place in time, and the next ones too
        places += sum(each.unplaced for each in reading.streams.values())
    if not places:
        return None
    return Finding(
        "damaged_media", f"The file is damaged at {_count(places, 'place')}: what was there is lost or distorted."
    )


def _unended(path: Path, measured: Probe) -> Finding | None:
    if not lacks_its_end(path, measured.extension) or missing_bytes(path, measured.extension):
        return None
    return Finding("damaged_media", "The file does not end with its format's end mark: it may have been cut off.")


def _holes(measured: Probe, reading: Reading) -> list[Finding]:
    return [_gaps(each.index, read) for each in measured.audio if (read := reading.streams[each.index]).holes]


def _gaps(index: int, read: StreamReading) -> Finding:
    longest, where = read.longest_hole
    return Finding(
        "gaps",
        f"The sound of stream {index} has {_count(read.holes, 'hole')}, {read.missing_seconds:.1f} s in all; the "
        f"longest has {longest:.1f} s and begins at {where - (read.start or 0.0):.1f} s.",
    )


def _other_duration(measured: Probe, reading: Reading) -> Finding | None:
    """A header that is wrong though nothing is known to be missing."""
    announced = measured.duration_seconds
    if measured.extension not in _ANNOUNCING | _CLAIMING or measured.duration_is_estimated or announced is None:
        return None
    found = _reached(reading)
    data = [stream_duration(each) or 0.0 for each in measured.raw["streams"] if each.get("codec_type") == "data"]
    starts = [each.start for each in reading.streams.values() if each.start is not None]
    last = max((each.last for each in reading.streams.values()), default=0.0) - max(0.0, min(starts, default=0.0))
    if is_short(announced, last) or is_short(max(found, *data, 0.0), announced):
        return Finding("duration_differs", f"The file announces {announced:.1f} seconds, and {found:.1f} can be read.")
    return None


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _reached(reading: Reading) -> float:
    """The end of the file in seconds: on its own clock, as containers announce it, or from a start before zero."""
    read = [each for each in reading.streams.values() if each.start is not None]
    return max((each.end for each in read), default=0.0) - min(
        0.0, min((each.start or 0.0 for each in read), default=0.0)
    )


def is_short(found: float, announced: float) -> bool:
    """Whether `found` seconds are too few for a file that announces so many."""
    return found == 0 or announced - found > max(TOLERANCE_SECONDS, announced * TOLERANCE_SHARE)


def _truncated(announced: float, found: float) -> Finding:
    return Finding(
        "truncated_media",
        f"The file announces {announced:.1f} seconds, but only {found:.1f} can be read: it is cut off or damaged; "
        "submit a whole copy.",
    )
