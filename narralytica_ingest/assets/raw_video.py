"""The original video, byte for byte, in the object store."""

from collections.abc import Iterator

import dagster as dg

from narralytica_ingest.assets.columns import FILE_COLUMNS
from narralytica_ingest.assets.job_table import ingest_jobs
from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.io_managers.values import NewMedia, StoredMedia
from narralytica_ingest.partitions import videos
from narralytica_ingest.resources.fetcher import Fetcher, IsPlaylist, JoinedKnownVideo
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.resources.preview import shown_picture
from narralytica_ingest.shown import shown_original


@dg.asset(
    partitions_def=videos,
    deps=[ingest_jobs],
    io_manager_key="s3_media",
    output_required=False,
    group_name="ingest",
    owners=["team:ingest"],
    kinds={"s3", "ffmpeg"},
    code_version="1",
    tags={"stage": "fetch"},
    metadata=FILE_COLUMNS,
)
def raw_video(
    context: dg.AssetExecutionContext,
    run_session: dg.ResourceParam[RunSession],
    media_store: dg.ResourceParam[MediaStore],
    fetcher: dg.ResourceParam[Fetcher],
) -> Iterator[dg.Output[NewMedia | StoredMedia]]:
    """The original as the source served it, with what the source says about it.

    What is stored already is not downloaded again. Nothing comes out where the run has nothing to do: the video is at
    work elsewhere, its job has moved on, its source turned out to be a known video or a playlist, or it is still live.
    """
    video_id = context.partition_key
    with run_session.stage("fetch"):
        if not run_session.take([video_id]):
            return
        try:
            original = _stored(context, run_session, media_store, video_id) or fetcher.fetch(video_id)
        except (JoinedKnownVideo, IsPlaylist) as turned_out:
            context.log.info("%s", turned_out)
            context.instance.delete_dynamic_partition(str(videos.name), video_id)
            return
        except IngestError as error:
            if error.failure_class is FailureClass.NOT_YET and run_session.defer(error):
                return
            raise
        output = _output(run_session, media_store, original)
    yield output


def _stored(
    context: dg.AssetExecutionContext, session: RunSession, store: MediaStore, video_id: str
) -> StoredMedia | None:
    """The original of the generation that this run builds, if rows and bucket agree that it is there."""
    found = store.stored("raw_video", [video_id], session.run.run_id, session.scratch).get(video_id)
    if found is None:
        return None
    said = store.stored("source_info", [video_id], session.run.run_id, session.scratch).get(video_id)
    for wanted in (found, said):  # without what the source said, no metadata can be made
        if wanted is not None and not store.is_there(wanted):
            context.log.warning("%s is in the tables, not in the bucket: it is fetched again", wanted.file.object_key)
            return None
    return found


def _output(
    session: RunSession, store: MediaStore, original: NewMedia | StoredMedia
) -> dg.Output[NewMedia | StoredMedia]:
    file = original.file if isinstance(original, StoredMedia) else original.files[0]
    shown = shown_picture(session, store, original) | shown_original(file.probe, file.facts)
    return dg.Output(original, metadata=shown, data_version=dg.DataVersion(file.sha256))
