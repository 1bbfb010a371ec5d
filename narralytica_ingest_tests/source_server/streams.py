"""The sample clip as segmented streams, cut with ffmpeg when it is asked for."""

from importlib.resources import files
from pathlib import Path

from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

SAMPLE = Path(str(files("narralytica_ingest") / "samples" / "speech.mp4"))


def make_streams(folder: Path, tools: MediaTools) -> Path:
    """Writes the sample as `/clip.mp4`, HLS (MPEG-TS and fragmented MP4, two renditions) and DASH into `folder`."""
    (folder / "clip.mp4").write_bytes(SAMPLE.read_bytes())
    small = folder / "small.mp4"
    encoded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "copy")
    ffmpeg(tools, "-vf", "scale=256:144", *encoded, small)
    for name, kind in (("hls", "mpegts"), ("hls-fmp4", "fmp4")):
        (folder / name).mkdir()
        for rendition, source in (("high", SAMPLE), ("low", small)):
            segment = folder / name / f"{rendition}-%d.{'ts' if kind == 'mpegts' else 'm4s'}"
            options = [*HLS, "-hls_segment_type", kind, "-hls_fmp4_init_filename", f"{rendition}-init.mp4"]
            options += ["-hls_segment_filename", str(segment)]
            ffmpeg(tools, *options, folder / name / f"{rendition}.m3u8", source=source)
        (folder / name / "master.m3u8").write_text(
            "#EXTM3U\n#EXT-X-VERSION:7\n"
            '#EXT-X-STREAM-INF:BANDWIDTH=90000,RESOLUTION=256x144,CODECS="avc1.42c00c,mp4a.40.2"\nlow.m3u8\n'
            '#EXT-X-STREAM-INF:BANDWIDTH=240000,RESOLUTION=480x270,CODECS="avc1.640015,mp4a.40.2"\nhigh.m3u8\n'
        )
    (folder / "dash").mkdir()
    ffmpeg(tools, "-c", "copy", "-f", "dash", "-seg_duration", "2", folder / "dash" / "manifest.mpd")
    return folder


HLS = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]


def ffmpeg(tools: MediaTools, *options: str | Path, source: Path = SAMPLE) -> None:
    """Runs ffmpeg on `source` (by default the sample), the same bytes each time."""
    result = run_tool(
        [tools.ffmpeg, "-nostdin", "-v", "error", "-y", "-i", source, "-fflags", "+bitexact", *options], timeout=60
    )
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
