"""How a video's original comes to the worker's disk: from its URL, or from its upload."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import dagster as dg

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.egress import Contact
from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.intake import upload_area
from narralytica_ingest.io_managers.values import LocalFile, NewMedia
from narralytica_ingest.object_store import media as objects
from narralytica_ingest.object_store.media import ObjectRef
from narralytica_ingest.object_store.patience import patiently
from narralytica_ingest.resources.fetch_options import fetch_options
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.sources.fetching import Fetched, FetchEvents, FetchOptions, ListedVideo, Listing, SideFile
from narralytica_ingest.sources.formats import refuse_too_long
from narralytica_ingest.sources.identity import identify_url, only_video
from narralytica_ingest.store import aliases, contacts, playlists
from narralytica_ingest.store.database import Row, clock
from narralytica_ingest.store.playlists import Child

log = logging.getLogger(__name__)


class IsPlaylist(Exception):
    """The URL holds several videos: its job became the parent of theirs, and this run has nothing to make."""

    def __init__(self, found: int) -> None:
        super().__init__(f"the source is a playlist of {found} videos: each has a job of its own now")


class JoinedKnownVideo(Exception):
    """Extraction showed that this is a video that we know: its job went there, and this run has nothing to make."""

    def __init__(self, known: str) -> None:
        super().__init__(f"the source is the known video {known}")
        self.known = known


@dataclass(frozen=True)
class Fetcher:
    """Fetches originals into the run's scratch folder."""

    settings: Settings
    session: RunSession
    store: MediaStore

    def fetch(self, video_id: str) -> NewMedia:
        """The original and what the source says about it, ready to be stored.

        Raises IngestError as the source's failure is classified, JoinedKnownVideo, and IsPlaylist.
        """
        video = self.session.video(video_id)
        if video["upload_ref"]:
            return NewMedia(video_id, (self._upload(video),))
        options = fetch_options(self.settings, video)
        read_at = self.session.commit(clock)
        fetched = self._from_url(video, options)
        original = self._original(self._one_file(fetched), max_duration=options.max_duration)
        info = fetched.info if fetched.byte_exact else fetched.info | {"joined_by": "narralytica-ingest"}
        beside = tuple(_side_file(each) for each in fetched.side_files)
        return NewMedia(video_id, (original, self._source_info(info, read_at), *beside))

    # ---- uploads -------------------------------------------------------------------------------------------------

    def _upload(self, video: Row) -> LocalFile:
        area = upload_area(self.settings)  # looked at again: rows and settings change between the claim and here
        bucket, key = area.locate(video["upload_ref"])
        ref = ObjectRef(bucket, key, video["upload_version"])
        total = objects.stat(self.store.client, ref).size_bytes
        if total > self.settings.max_bytes:
            raise failure(
                "too_large",
                f"The upload has {total:,} bytes; the limit is {self.settings.max_bytes:,}: raise it to take this.",
            )
        self.session.reserve_disk(total)
        path = self.session.scratch / "upload"
        done, started = 0, time.monotonic()

        def on_bytes(count: int) -> None:
            nonlocal done
            done += count
            self.session.progress("fetch", done, total, done / max(time.monotonic() - started, 0.001))

        def read() -> None:
            nonlocal done
            done = 0
            objects.download(self.store.client, ref, path, on_bytes)

        patiently(read, log.warning)
        file = self._original(path, copy_from=ref, max_duration=self.settings.max_duration_seconds)
        if video["video_id"].startswith("upload-") and area.place(key).startswith("sha256/"):
            claimed = area.place(key).split("/")[1]
            if claimed != file.sha256:
                raise failure(
                    "upload_checksum_differs",
                    "The uploaded object does not have the SHA-256 that its key claims: submit the file again.",
                )
        return file

    # ---- URLs ----------------------------------------------------------------------------------------------------

    def _from_url(self, video: Row, options: FetchOptions) -> Fetched:
        from narralytica_ingest.sources.ytdlp import fetch_url

        events = FetchEvents(
            progress=lambda now: self.session.progress("fetch", now.bytes, now.total, now.rate, now.eta),
            alias=lambda alias: self._learn(video, alias),
            reserve=self.session.reserve_disk,
            contacted=lambda found: self._note(video["video_id"], found),
        )
        folder = self.session.partial_folder(video["video_id"])
        fetched = fetch_url(video["source_url"], folder, options, events)
        if isinstance(fetched, Listing):
            self._expand(video, fetched)
        return fetched

    def _note(self, video_id: str, found: Sequence[Contact]) -> None:
        """Whom the run contacted. It is told at the end, perhaps of a failure, which this must not replace."""
        job = None if self.session.run.is_copy else self.session.run.dispatch
        try:
            lease = self.session.lease(video_id)
            with self.session.database.transaction() as connection:
                contacts.record(connection, lease, self.session.run.run_id, job.job_id if job else None, found)
        except Exception as error:
            log.warning("whom the fetch contacted is not written down: %s", type(error).__name__)

    def _one_file(self, fetched: Fetched) -> Path:
        from narralytica_ingest.media.remux import join_streams

        if fetched.byte_exact:
            return fetched.parts[0]
        return join_streams(fetched.parts, self.session.scratch, self.session.media_tools)

    def _expand(self, video: Row, listing: Listing) -> NoReturn:
        """The run's job becomes the parent of one job for each video; the video that it was taken for goes."""
        lease = self.session.lease(video["video_id"])
        children = list(_children(listing))
        skipped = len(listing.videos) - len(children)
        with self.session.database.transaction() as connection:
            playlists.expand(connection, lease, listing.title, children, more=listing.more, skipped=skipped)
            self.session.forget(video["video_id"])  # before the commit: a heartbeat must not miss what is gone
        raise IsPlaylist(len(children))

    def _learn(self, video: Row, alias: str) -> None:
        """Another name for the video; if it is a known video's name, this one joins it. A list of one video is still
        a list."""
        video_id = video["video_id"]
        if video["generation"]:  # it has been ingested under its own name, which stays
            return
        alone = only_video(video_id, video["source_url"], alias)
        if alone is not None:
            self._expand(video, Listing(None, (ListedVideo(alone),), more=False))
        lease = self.session.lease(video_id)
        with self.session.database.transaction() as connection:
            owner = aliases.learn(connection, lease, alias)
            if owner != video_id:
                self.session.forget(video_id)  # before the commit: a heartbeat must not miss what is gone
        if owner != video_id:
            raise JoinedKnownVideo(owner)

    # ---- files ---------------------------------------------------------------------------------------------------

    def _original(self, path: Path, copy_from: ObjectRef | None = None, max_duration: float | None = None) -> LocalFile:
        """Measures the file and gives it its content's name, under which the run's other assets find it."""
        from narralytica_ingest.media.findings import judge
        from narralytica_ingest.media.integrity import inspect, sha256_file
        from narralytica_ingest.media.probe import probe

        tools = self.session.media_tools
        measured = probe(path, tools, audio_needed=True)
        refuse_too_long(measured.duration_seconds, max_duration)  # many sources do not say it beforehand
        findings = judge(inspect(path, measured, tools), self.settings.finding_verdicts)
        for finding in findings:
            log.warning("%s: %s", finding.code, finding.message)
        sha256 = sha256_file(path)
        named = self.session.scratch / f"{sha256}.{measured.extension}"
        _give_name(path, named)
        return LocalFile(
            kind="raw_video",
            path=named,
            size_bytes=named.stat().st_size,
            sha256=sha256,
            extension=measured.extension,
            content_type=measured.content_type,
            probe=asdict(measured),
            facts={"findings": [asdict(each) for each in findings]},
            copy_from=copy_from,
        )

    def _source_info(self, info: dict[str, Any], read_at: datetime) -> LocalFile:
        """When it was read stands beside it: the same information is the same object."""
        from narralytica_ingest.media.integrity import sha256_file

        path = self.session.scratch / "source_info.json"
        path.write_text(json.dumps(info, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
        return LocalFile(
            kind="source_info",
            path=path,
            size_bytes=path.stat().st_size,
            sha256=sha256_file(path),
            extension="json",
            content_type="application/json",
            facts={"read_at": read_at.isoformat()},
        )


def _children(listing: Listing) -> Iterator[Child]:
    """The listed videos whose URLs mean something; a broken entry does not spoil the others."""
    for each in listing.videos:
        try:
            yield Child(each.url, identify_url(each.url).video_id, each.title)
        except IngestError as error:
            log.warning("an entry of the playlist is skipped: %s", error)


def _give_name(path: Path, name: Path) -> None:
    """What was downloaded keeps its own name, too: if storing it fails, the next attempt need not download it again."""
    name.unlink(missing_ok=True)
    try:
        name.hardlink_to(path)
    except OSError:  # a file system without them
        path.replace(name)


def _side_file(file: SideFile) -> LocalFile:
    from narralytica_ingest.media.integrity import sha256_file

    return LocalFile(
        kind=file.kind,
        path=file.path,
        size_bytes=file.path.stat().st_size,
        sha256=sha256_file(file.path),
        extension=file.extension,
        content_type=file.content_type,
        language=file.language,
        origin=file.origin,
    )


@dg.resource(
    required_resource_keys={"run_session", "media_store"}, description="Fetches a video's original from its source."
)
def fetcher(context: dg.InitResourceContext) -> Fetcher:
    """Made once per run."""
    resources: Any = context.resources
    return Fetcher(load_settings(), resources.run_session, resources.media_store)
