"""The original video, byte for byte, in the object store."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from narralytica_ingest.assets.job_table import ingest_jobs
from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.io_managers.values import NewMedia, StoredMedia
from narralytica_ingest.partitions import videos
from narralytica_ingest.resources.fetcher import Fetcher, IsPlaylist, JoinedKnownVideo
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.shown import shown_media


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
    yield _output(original)


def _stored(
    context: dg.AssetExecutionContext, session: RunSession, store: MediaStore, video_id: str
) -> StoredMedia | None:
    """The original of the generation that this run builds, if rows and bucket agree that it is there."""
    found = store.stored("raw_video", [video_id], session.run.run_id, session.scratch).get(video_id)
    if found is None:
        return None
    if store.is_there(found):
        return found
    context.log.warning("%s is in the tables but not in the bucket: it is fetched again", found.file.object_key)
    return None


def _output(original: NewMedia | StoredMedia) -> dg.Output[NewMedia | StoredMedia]:
    file = original.file if isinstance(original, StoredMedia) else original.files[0]
    shown: dict[str, Any] = shown_media(file.probe)
    return dg.Output(original, metadata=shown, data_version=dg.DataVersion(file.sha256))
