"""Whole files, plain ones: every container with the codecs that are found in it, and odd sample rates."""

from dataclasses import replace
from pathlib import Path

from narralytica_ingest_tests.corpus.model import PLAIN, Entry, Expected, Make, Sound
from narralytica_ingest_tests.corpus.workshop import Workshop


def encoded(sound: str, picture: str | None = None) -> Make:
    """The sentence encoded by ffmpeg's options `sound`, beside one of the pictures as it is."""

    def make(shop: Workshop, target: Path) -> None:
        spoken = ("-i", shop.sound("sentence"))
        if picture is None:
            shop.ffmpeg(*spoken, *sound.split(), target)
        else:
            shop.ffmpeg(*spoken, "-i", shop.picture(picture), "-c:v", "copy", *sound.split(), target)

    return make


# Encoders need a run-up, their *priming*. Where a container cannot say how much of its sound that is, it is heard as a
# short silence; and what is encoded in whole packets ends a little later than what was put in.


def _primed(rate: int, packets: int, *, priming: int = 1024, packet: int = 1024) -> Expected:
    """The sentence comes `priming` samples late, and the track is all that the packets hold."""
    return Expected(seconds=packets * packet / rate, begins=priming / rate)


_LAME = _primed(48_000, 126, priming=1105, packet=1152)

# In this mix the middle is one of five channels: beside the others' share of the one channel, speech has less.
_MIXED = Expected(louder=-10.7)
# ffmpeg adds the channels up to make one, and with encoders of floating point numbers does not divide.
_ADDED = Expected(louder=3.0)

# Speech in the middle, a hum of other pitch on each of the other channels: what a film's mix is like.
SURROUND = (
    "-filter_complex [0:a]pan=mono|c0=c0[fc];"
    "aevalsrc=0.02*sin(2*PI*300*t)|0.02*sin(2*PI*400*t)|0.1*sin(2*PI*50*t)|0.02*sin(2*PI*500*t)|0.02*sin(2*PI*600*t)"
    ":s=48000:d=3:c=5.0[rest];[rest][fc]amerge=inputs=2,pan=5.1|FL=c0|FR=c1|LFE=c2|BL=c3|BR=c4|FC=c5[mix] -map [mix]"
)


def _video(name: str, container: str, picture: str, sound: str, heard: Sound, expected: Expected = PLAIN) -> Entry:
    extension, how = name.rpartition(".")[2], f"{picture} as it is, {sound}"
    return Entry(name, how, encoded(sound, picture), container, extension, picture, (heard,), expected=expected)


def _audio(name: str, sound: str, heard: Sound, expected: Expected = PLAIN, container: str = "") -> Entry:
    extension = name.rpartition(".")[2]
    return Entry(name, sound, encoded(sound), container or extension, extension, None, (heard,), expected=expected)


CONTAINERS = (
    _video("h264-aac.mp4", "mp4", "h264", "-c:a aac -movflags +faststart", Sound("aac")),
    _video("h264-aac-index-last.mp4", "mp4", "h264", "-c:a aac -ar 44100 -ac 1", Sound("aac", 1, 44_100), _ADDED),
    _video("h264-aac-fragmented.mp4", "mp4", "h264", "-c:a aac -movflags +frag_keyframe+delay_moov", Sound("aac")),
    _video("h264-mp3.mp4", "mp4", "h264", "-c:a libmp3lame", Sound("mp3")),
    _video("h264-alac.mp4", "mp4", "h264", "-c:a alac", Sound("alac")),
    _video("hevc-aac.mp4", "mp4", "hevc", "-c:a aac", Sound("aac")),
    _video("av1-opus.mp4", "mp4", "av1", "-c:a libopus", Sound("opus")),
    _video("surround-ac3.mp4", "mp4", "h264", f"{SURROUND} -map 1:v -c:a ac3", Sound("ac3", 6), _MIXED),
    _video("surround-eac3.mkv", "matroska", "hevc", f"{SURROUND} -map 1:v -c:a eac3", Sound("eac3", 6), _MIXED),
    _video("surround-aac.mp4", "mp4", "h264", f"{SURROUND} -map 1:v -c:a aac", Sound("aac", 6), _MIXED),
    _video("h264-aac.mov", "mov", "h264", "-c:a aac -ar 44100", Sound("aac", 2, 44_100)),
    _video("h264-pcm-24-bit.mov", "mov", "h264", "-c:a pcm_s24le -ar 96000", Sound("pcm_s24le", 2, 96_000)),
    _video("h264-aac.mkv", "matroska", "h264", "-c:a aac", Sound("aac")),
    _video("hevc-flac.mkv", "matroska", "hevc", "-c:a flac", Sound("flac")),
    _video("av1-opus.mkv", "matroska", "av1", "-c:a libopus", Sound("opus")),
    _video("mpeg2-mp2.mkv", "matroska", "mpeg2video", "-c:a mp2", Sound("mp2")),
    _video("vp9-opus.webm", "webm", "vp9", "-c:a libopus", Sound("opus")),
    _video("vp8-vorbis.webm", "webm", "vp8", "-c:a libvorbis", Sound("vorbis"), Expected(seconds=3.02)),
    _video("av1-vorbis.webm", "webm", "av1", "-c:a libvorbis -ar 44100", Sound("vorbis", 2, 44_100)),
    _video("h264-aac.ts", "mpegts", "h264", "-c:a aac", Sound("aac")),
    _video("far-clock.ts", "mpegts", "h264", "-c:a aac -output_ts_offset 40000", Sound("aac")),
    _video("mpeg2-mp2.ts", "mpegts", "mpeg2video", "-c:a mp2", Sound("mp2")),
    _video("hevc-ac3.ts", "mpegts", "hevc", f"{SURROUND} -map 1:v -c:a ac3", Sound("ac3", 6), _MIXED),
    _video("h264-eac3.ts", "mpegts", "h264", "-c:a eac3", Sound("eac3")),
    _video("mpeg2-mp2.mpg", "mpeg", "mpeg2video", "-c:a mp2", Sound("mp2")),
    _video("mpeg4-mp3.avi", "avi", "mpeg4", "-c:a libmp3lame", Sound("mp3"), _LAME),
    _video("mpeg4-pcm.avi", "avi", "mpeg4", "-c:a pcm_s16le -ar 22050", Sound("pcm_s16le", 2, 22_050)),
    _video("mpeg4-ac3.avi", "avi", "mpeg4", "-c:a ac3", Sound("ac3")),
    _video("h264-aac.flv", "flv", "h264", "-c:a aac -ar 44100", Sound("aac", 2, 44_100)),
    _audio("mono.mp3", "-c:a libmp3lame -ar 44100 -ac 1", Sound("mp3", 1, 44_100)),
    _audio("low-rate.mp3", "-c:a libmp3lame -ar 11025 -ac 1", Sound("mp3", 1, 11_025)),
    _audio("telephone.wav", "-c:a pcm_mulaw -ar 8000 -ac 1", Sound("pcm_mulaw", 1, 8_000)),
    _audio("cd.wav", "-c:a pcm_s16le -ar 44100", Sound("pcm_s16le", 2, 44_100)),
    _audio("studio.wav", "-c:a pcm_f32le -ar 96000", Sound("pcm_f32le", 2, 96_000)),
    _audio("studio.flac", "-c:a flac -sample_fmt s32 -ar 96000", Sound("flac", 2, 96_000)),
    _audio("low-rate.m4a", "-c:a aac -ar 22050 -ac 1", Sound("aac", 1, 22_050), _ADDED, container="mp4"),
    _audio("vorbis.ogg", "-c:a libvorbis -ar 44100", Sound("vorbis", 2, 44_100)),
    _audio("opus.ogg", "-c:a libopus -ac 1", Sound("opus", 1)),
    _audio("plain.aac", "-c:a aac -ar 11025 -ac 1", Sound("aac", 1, 11_025), replace(_primed(11_025, 34), louder=3.0)),
    _audio("opus.mka", "-c:a libopus", Sound("opus"), container="matroska"),
)
