"""Runs as a worker has them, step by step: each may be stopped between any two, or go on long after its time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.store import aliases, artifacts, dispatch, leases, metadata_rows, objects, outcomes, playlists
from narralytica_ingest.store.artifacts import MediaFile
from narralytica_ingest.store.database import Connection
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost
from narralytica_ingest.store.playlists import Child
from narralytica_ingest_tests.integration.invariants.steps import Step
from narralytica_ingest_tests.integration.invariants.world import (
    BUCKET,
    LEASE_SECONDS,
    POLICY,
    SOURCES,
    World,
    digest,
    key_of,
    name_of,
)
from narralytica_ingest_tests.job_table import metadata_row

ASSETS = ("raw_video", "audio_track", "video_metadata")
COUNTED = {"transient", "restart", "rate_limited", "permanent", "needs_operator"}

_STORED = """
SELECT object_key, sha256 FROM media_files
 WHERE video_id = %s AND generation = %s AND kind = 'raw_video'
"""


def media_file(kind: str, sha256: str, of: str) -> MediaFile:
    """A file that says which original it belongs to."""
    return MediaFile(kind, BUCKET, f"media/{sha256[:6]}", 10, sha256, "video/mp4", probe={"of": of})


@dataclass
class Run:
    """A run: what it was started for, and what it does next. Its end is an empty `todo`."""

    world: World
    run_id: str
    video_id: str
    tags: Dispatch | None
    assets: tuple[str, ...] = ASSETS
    lease: Lease | None = None
    original: str | None = None
    files: list[MediaFile] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    waits: bool = False

    def __post_init__(self) -> None:
        self.todo = ["answer", "take"] if self.tags else ["take"]
        self.todo += [*self.assets, "end"]

    @property
    def over(self) -> bool:
        """It has nothing more to do of its own accord."""
        return not self.todo

    def work(self) -> None:
        """Its next step, as a well-behaved run does it; a failure ends it."""
        if self.todo:
            self.world.do(self.next_step())

    def _refused(self, error: IngestError) -> None:
        """It ends with this failure. What a run still does that has lost its lease, it does as a zombie."""
        self.todo = []
        if self.lease is not None and not isinstance(error, LeaseLost):
            self.world.do(self.end(error))

    def next_step(self) -> Step:
        """What it does now."""
        steps: dict[str, Callable[[], Step]] = {
            "answer": self._answer, "take": self._take, "raw_video": self._look_for_original, "learn": self._learn,
            "expand": self._expand, "audio_track": self._extract, "video_metadata": self._metadata,
            "announce": self.announce, "wait": self._wait, "put": self.put, "commit": self.commit,
            "end": self._end_well,
        }  # fmt: skip
        return steps[self.todo[0]]()

    def _step(self, name: str, act: Callable[[Connection], Any], then: Callable[[Any], None] | None = None) -> Step:
        def after(result: Any) -> None:
            if self.todo and self.todo[0] == name:
                self.todo.pop(0)
            if then:
                then(result)

        return Step(f"{self.run_id} {name}", act, after, self._refused, self.lease, self.run_id, self.tags)

    # ---- begin ------------------------------------------------------------------------------------------------------

    def _answer(self) -> Step:
        tags = self.tags
        assert tags is not None

        def act(connection: Connection) -> bool:
            force = leases.is_forced(connection, tags)
            return not force and dispatch.answer_dispatched(connection, tags.job_id, tags.attempt)

        return self._step("answer", act, lambda answered: self.todo.clear() if answered else None)

    def _take(self) -> Step:
        def act(connection: Connection) -> Lease | None:
            tags = self.tags
            force = tags is not None and leases.is_forced(connection, tags)
            taken = leases.take(connection, self.run_id, [self.video_id], LEASE_SECONDS, force=force)
            lease = taken.get(self.video_id)
            if tags is None:
                return lease
            if lease is None:
                leases.wait_for_video(connection, tags)
            elif not leases.bind(connection, tags, lease):
                raise NothingToDo
            return lease

        def then(lease: Lease | None) -> None:
            self.lease = lease
            if lease is None:
                self.todo.clear()

        return self._step("take", act, then)

    # ---- the original -----------------------------------------------------------------------------------------------

    def _look_for_original(self) -> Step:
        lease = self._mine()

        def act(connection: Connection) -> tuple[Any, Any]:
            video = connection.execute("SELECT generation FROM videos WHERE video_id = %s", (self.video_id,)).fetchone()
            return video, connection.execute(_STORED, (self.video_id, lease.generation)).fetchone()

        def then(found: tuple[Any, Any]) -> None:
            video, stored = found
            if stored and stored["object_key"] in self.world.bucket:
                self.original = stored["sha256"]
                return
            source = SOURCES[name_of(self.video_id)]
            if source.entries:
                self.todo = ["expand"]
                return
            self._fetched()
            if source.alias and video and not video["generation"]:
                self.todo.insert(0, "learn")

        return self._step("raw_video", act, then)

    def _fetched(self) -> None:
        sha = self.original = self.world.content(name_of(self.video_id))
        self.files = [media_file("raw_video", sha, sha), media_file("source_info", digest(f"info {sha}"), sha)]
        self.todo[:0] = ["announce", "wait", "put", "commit"]

    def _learn(self) -> Step:
        lease, alias = self._mine(), SOURCES[name_of(self.video_id)].alias
        assert alias is not None
        return self._step(
            "learn",
            lambda connection: aliases.learn(connection, lease, alias),
            lambda owner: self.todo.clear() if owner != self.video_id else None,
        )

    def _expand(self) -> Step:
        lease, entries = self._mine(), SOURCES[name_of(self.video_id)].entries
        children = [Child(f"http://{SOURCES[name].host}/{name}", key_of(name).video_id) for name in entries]
        return self._step(
            "expand", lambda connection: playlists.expand(connection, lease, "A list", children, more=False)
        )

    def imagine(self) -> None:
        """Should it not have come so far yet, it has another original in mind than anybody else."""
        if not self.files:
            sha = self.original = digest(self.run_id)
            self.files = [media_file("raw_video", sha, sha)]

    # ---- publication ------------------------------------------------------------------------------------------------

    def announce(self) -> Step:
        """It is about to store its files."""
        lease, keys = self._mine(), [file.object_key for file in self.files]
        return self._step("announce", lambda connection: objects.begin_publications(connection, lease, BUCKET, keys))

    def _wait(self) -> Step:
        keys = [file.object_key for file in self.files]

        def then(being_removed: bool) -> None:
            self.waits = being_removed
            if being_removed:
                self.todo.insert(0, "wait")

        return self._step(
            "wait",
            lambda connection: objects.being_removed(connection, BUCKET, keys),
            then,
        )

    def put(self) -> Step:
        """It stores one of its files, or finds by HEADs that they are all there."""
        self.world.files |= {file.object_key: file for file in self.files}
        missing = [file.object_key for file in self.files if file.object_key not in self.world.bucket]

        def then(_: Any) -> None:
            if not missing:
                return
            self.todo.insert(0, "put")
            self.world.bucket.add(missing[0])
            if not self.world.history.seen.holds(self._mine()):
                self.world.stored.late.add(missing[0])

        return self._step("put", lambda connection: None, then)

    def commit(self) -> Step:
        """The rows of its files."""
        lease, files = self._mine(), list(self.files)

        return self._step("commit", lambda connection: artifacts.commit_media_files(connection, lease, files))

    # ---- what is made of it -----------------------------------------------------------------------------------------

    def _stored_original(self, name: str, then: Callable[[str], None]) -> Step:
        lease = self._mine()

        def act(connection: Connection) -> str:
            stored = connection.execute(_STORED, (self.video_id, lease.generation)).fetchone()
            if stored is None:
                raise failure("not_ingested")
            return str(stored["sha256"])

        return self._step(name, act, then)

    def _extract(self) -> Step:
        def then(original: str) -> None:
            self.files = [media_file("audio_track", digest(f"{self.world.encoder} of {original}"), original)]
            self.todo[:0] = ["announce", "wait", "put", "commit"]

        return self._stored_original("audio_track", then)

    def _metadata(self) -> Step:
        if self.original is None:
            return self._stored_original("read", self._read)
        return self.commit_metadata()

    def _read(self, original: str) -> None:
        self.original = original

    def commit_metadata(self) -> Step:
        """Its row about the original that it knows."""
        lease = self._mine()
        row = metadata_row(lease, title=self.original or digest("nothing"))
        mine = {self.video_id: lease}
        return self._step("video_metadata", lambda connection: metadata_rows.commit_metadata(connection, mine, [row]))

    # ---- life and end -----------------------------------------------------------------------------------------------

    def beat(self) -> Step:
        """A heartbeat; it ends the run where it learns of a cancel or of a lost lease."""
        lease = self._mine()

        def act(connection: Connection) -> leases.Renewal:
            held = {self.video_id: lease}
            renewal = leases.renew(connection, held, self.run_id, LEASE_SECONDS, {"stage": "fetch"})
            if renewal.cancel_requested:
                outcomes.end_run(connection, lease, outcomes.canceled(), POLICY)
            return renewal

        def then(renewal: leases.Renewal) -> None:
            if renewal.lost or renewal.cancel_requested:
                self.todo.clear()

        return self._step("beat", act, then)

    def _end_well(self) -> Step:
        step = self.end(failure("run_ended_early"))
        return self._step("end", step.act)

    def end(self, error: IngestError) -> Step:
        """It ends its attempt with a failure, or, where all is done, gives its lease back."""
        lease = self._mine()
        return Step(
            f"{self.run_id} ends as {error.code}",
            lambda connection: outcomes.end_run(connection, lease, error, POLICY),
            lambda _: self.todo.clear(),
            self._refused,
            lease=lease,
            run_id=self.run_id,
            charges=error.failure_class.value in COUNTED,
        )

    def release(self) -> Step:
        """It gives its lease up without a verdict."""
        lease = self._mine()
        return self._step("release", lambda connection: leases.release(connection, [lease]))

    def _mine(self) -> Lease:
        assert self.lease is not None
        return self.lease


class NothingToDo(IngestError):
    """The job of the run has moved on; what was taken is given back."""

    def __init__(self) -> None:
        error = failure("run_died")
        super().__init__(error.failure_class, error.code, error.message)
