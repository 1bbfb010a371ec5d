"""The audio track for speech recognition: 16 kHz mono 16-bit FLAC."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.io_managers.values import LocalFile, NewMedia, StoredMedia
from narralytica_ingest.partitions import videos
from narralytica_ingest.shown import shown_media


@dg.asset(
    partitions_def=videos,
    io_manager_key="s3_media",
    output_required=False,
    group_name="ingest",
    owners=["team:ingest"],
    kinds={"s3", "ffmpeg"},
    code_version="1",
    tags={"stage": "audio"},
)
def audio_track(
    context: dg.AssetExecutionContext, run_session: dg.ResourceParam[RunSession], raw_video: StoredMedia
) -> Iterator[dg.Output[NewMedia]]:
    """The sound of the original, resampled for speech recognition and otherwise unaltered.

    Reads the file that the run still has, else the stored object: it never goes back to the source.
    """
    video_id = context.partition_key
    with run_session.stage("audio"):
        if not run_session.take([video_id]):
            return
        file = _extract(run_session, raw_video)
    yield dg.Output(
        NewMedia(video_id, (file,)), metadata=shown_media(file.probe), data_version=dg.DataVersion(file.sha256)
    )


def _extract(session: RunSession, original: StoredMedia) -> LocalFile:
    # Imported here, so that a sensor's tick does not load them.
    from narralytica_ingest.media.audio import extract_audio
    from narralytica_ingest.media.integrity import sha256_file
    from narralytica_ingest.media.probe import probe
    from narralytica_ingest.media.tools import find_tools

    settings = session.settings
    tools = find_tools(settings.ffmpeg, settings.ffprobe, settings.media_timeout_seconds)
    source = original.open_local()
    target = session.scratch / "audio.flac"
    size = source.stat().st_size

    def on_seconds(done: float, total: float | None) -> None:
        session.progress("audio", int(size * min(done / total, 1)) if total else 0, size)

    extract_audio(source, target, probe(source, tools), tools, on_seconds)
    measured: dict[str, Any] = asdict(probe(target, tools))
    return LocalFile(
        kind="audio_track",
        path=target,
        size_bytes=target.stat().st_size,
        sha256=sha256_file(target),
        extension="flac",
        content_type="audio/flac",
        probe=measured,
        profile="flac",
    )
