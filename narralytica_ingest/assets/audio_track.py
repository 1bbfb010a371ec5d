"""The audio tracks: the sound of the original for speech recognition, in every profile and language that is wanted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from narralytica_ingest.assets.columns import FILE_COLUMNS
from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import failure
from narralytica_ingest.io_managers.values import LocalFile, NewMedia, StoredMedia
from narralytica_ingest.media.profiles import language_names, profile_names
from narralytica_ingest.partitions import videos
from narralytica_ingest.shown import shown_audio

if TYPE_CHECKING:
    from narralytica_ingest.media.audio import AudioFile
    from narralytica_ingest.media.tracks import ChosenTrack


@dg.asset(
    partitions_def=videos,
    io_manager_key="s3_media",
    output_required=False,
    group_name="ingest",
    owners=["team:ingest"],
    kinds={"s3", "ffmpeg"},
    code_version="2",
    tags={"stage": "audio"},
    metadata=FILE_COLUMNS,
)
def audio_track(
    context: dg.AssetExecutionContext, run_session: dg.ResourceParam[RunSession], raw_video: StoredMedia
) -> Iterator[dg.Output[NewMedia]]:
    """The sound of the original, resampled for speech recognition and otherwise unaltered, and what was measured of it.

    Reads the file that the run still has, else the stored object by range reads: it never goes back to the source. The
    first file is the original language's in the first profile; further profiles and languages are files beside it.
    """
    video_id = context.partition_key
    with run_session.stage("audio"):
        if not run_session.take([video_id]):
            return
        files = _extract(run_session, raw_video)
    first = files[0]
    yield dg.Output(
        NewMedia(video_id, files),
        metadata=shown_audio(first.probe, first.facts),
        data_version=dg.DataVersion(first.sha256),
    )


def _extract(session: RunSession, original: StoredMedia) -> tuple[LocalFile, ...]:
    # Imported here, so that a sensor's tick does not load them.
    from narralytica_ingest.media.audio import extract_audio
    from narralytica_ingest.media.probe import stored_probe
    from narralytica_ingest.media.tracks import choose

    settings, video = session.settings, session.video(original.video_id)
    wishes: Mapping[str, Sequence[str]] = video["options"]
    measured = stored_probe(_probe(original))
    wanted = [*language_names(settings.audio_languages or ""), *language_names(wishes.get("audio_languages", ()))]
    profiles = profile_names([*profile_names(settings.audio_profiles), *wishes.get("audio_profiles", ())])
    tracks = choose(measured, wanted, _language(original, video["hints"]))
    # As they were written: by these the tables know what need not be asked for again, where the file does not have it.
    asked = {"asked_languages": list(wishes.get("audio_languages", ()))}
    files: list[LocalFile] = []
    with original.opened() as source:
        for number, chosen in enumerate(tracks):
            _say(session, chosen)

            def on_seconds(done: float, total: float | None, before: int = number) -> None:
                size = original.file.size_bytes
                share = (before + min(done / total, 1)) / len(tracks) if total else 0
                session.progress("audio", int(size * share), size)

            made = extract_audio(
                *(source, measured, chosen, profiles, session.scratch, session.media_tools),
                progress=on_seconds,
                verdicts=settings.finding_verdicts,
            )
            files += [_local(file, asked) for file in made]
    return tuple(files)


def _probe(original: StoredMedia) -> Mapping[str, Any]:
    if not original.file.probe:
        raise failure("not_ingested", "The stored original was never measured: ingest it anew (`submit --force`).")
    return original.file.probe


def _language(original: StoredMedia, hints: Mapping[str, str]) -> str | None:
    """What the source calls the original's language, else what a job did."""
    return (original.source_info() or {}).get("language") or hints.get("language")


def _say(session: RunSession, chosen: "ChosenTrack") -> None:
    session.log.info("sound %d (%s) is taken: %s", chosen.stream.index, chosen.language or "unknown", chosen.why)


def _local(file: "AudioFile", asked: Mapping[str, Any]) -> LocalFile:
    from narralytica_ingest.media.integrity import sha256_file

    return LocalFile(
        kind="audio_track",
        path=file.path,
        size_bytes=file.probe.size_bytes,
        sha256=sha256_file(file.path),
        extension=file.probe.extension,
        content_type=file.probe.content_type,
        language=file.language,
        probe=asdict(file.probe),
        profile=file.profile,
        facts={**file.facts, **asked},
    )
