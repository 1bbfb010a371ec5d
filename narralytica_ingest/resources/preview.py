"""The picture by which people recognize a video in the UI. Nothing fails for it: without one, nothing is shown."""

from typing import Any

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import IngestError
from narralytica_ingest.io_managers.values import LocalFile, NewMedia, StoredMedia
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.shown import INLINE_BYTES, inline_picture, picture_at


def shown_picture(session: RunSession, store: MediaStore, original: NewMedia | StoredMedia) -> dict[str, Any]:
    """The stored thumbnail where a browser can fetch it (`NARRALYTICA_MEDIA_BASE_URL`), else a small preview of it, or
    of a frame where the source gave none."""
    try:
        thumbnail = _thumbnail(session, store, original)
        url = store.url(thumbnail.file if isinstance(thumbnail, StoredMedia) else thumbnail) if thumbnail else None
        if url is not None:
            return {"thumbnail": picture_at(url, "thumbnail")}
        made = _preview(session, original, thumbnail)
    except IngestError as error:
        session.log.info("no preview: %s", error)
        return {}
    picture = inline_picture(made, "image/webp", "preview") if made else None
    return {"preview": picture} if picture else {}


def _thumbnail(
    session: RunSession, store: MediaStore, original: NewMedia | StoredMedia
) -> LocalFile | StoredMedia | None:
    if isinstance(original, NewMedia):
        return next((file for file in original.files if file.kind == "thumbnail"), None)
    video_id = original.video_id
    return store.stored("thumbnail", [video_id], session.run.run_id, session.scratch).get(video_id)


def _preview(
    session: RunSession, original: NewMedia | StoredMedia, thumbnail: LocalFile | StoredMedia | None
) -> bytes | None:
    # Imported here, so that a sensor's tick does not load them.
    from narralytica_ingest.media.preview import preview_of_thumbnail, preview_of_video

    tools = session.media_tools
    if thumbnail is not None:
        path = thumbnail.open_local() if isinstance(thumbnail, StoredMedia) else thumbnail.path
        return preview_of_thumbnail(path, session.scratch, tools, INLINE_BYTES)
    if isinstance(original, StoredMedia):  # not worth reading the whole original for
        return None
    file = original.files[0]
    return preview_of_video(file.path, file.probe or {}, session.scratch, tools, INLINE_BYTES)
