"""Whether the tables, the bucket and Dagster agree: every stored object is looked at once, and the tables are asked.

Everything streams, and work goes on meanwhile: an object that is missed counts only if somebody refers to it still.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from narralytica_ingest.object_store import audit
from narralytica_ingest.object_store.audit import Fault, Finding
from narralytica_ingest.object_store.media import PREFIX
from narralytica_ingest.recovery import mend
from narralytica_ingest.recovery.partitions import PARTITIONS
from narralytica_ingest.store import objects, verification
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.verification import (
    READY_VIDEOS,
    TABLE_CHECKS,
    Disagreement,
    Reference,
    StoredObject,
    TableCheck,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STORED_OBJECTS = "stored objects"
BUCKET = "bucket"
PAGE = 500
# An object is looked at by one request of some milliseconds, or read whole.
HEADS, READERS = 8, 4

_ADVICE = {
    Fault.UNREADABLE: "look at the object store's log; if it is lost, delete the video and submit it again",
    Fault.WRONG_MARK: "`verify --mend` reads it, and puts our SHA-256 beside it again if its bytes are right",
}
_TABLE_ADVICE = {
    "ready videos": "`verify --mend` queues a job that adds what is missing",
    "running jobs": "`up` queues it again by itself",
    "succeeded jobs": "`retry --force` this job, or submit its source again",
    "leases": "`up` frees it by itself",
    "partitions": "`up` removes it by itself",
}


@dataclass(frozen=True)
class Problem:
    """One thing that does not agree: about what, what is wrong, what to do, and with `mend`, what was done."""

    check: str
    video_id: str | None
    job_id: UUID | None
    kind: str | None  # of the media file, with its language, origin and profile
    object: str | None  # as s3://bucket/key
    wrong: str
    advice: str
    done: str | None = None


@dataclass
class Tally:
    """How a check went: how much it looked at, and how many problems it found.

    `unknown` counts objects that no table knows, which is no problem: a run that was killed leaves them.
    """

    looked_at: int = 0
    problems: int = 0
    unknown: int = 0
    unknown_bytes: int = 0


@dataclass
class Progress:
    """How far the look at the stored objects is: objects, and bytes where they are read."""

    objects: int = 0
    size_bytes: int = 0
    total_objects: int = 0
    total_bytes: int = 0


@dataclass
class Verification:
    """One look at everything, or at some videos. `problems` does the work; `tallies` then tells how it went."""

    database: Database
    client: "S3Client"
    bucket: str
    video_ids: Sequence[str] | None = None
    deep: bool = False
    mend: bool = False
    on_progress: Callable[[Progress], None] = lambda _: None
    tallies: dict[str, Tally] = field(default_factory=dict)
    _progress: Progress = field(default_factory=Progress)

    def problems(self) -> Iterator[Problem]:
        """Every problem, as it is found. Raises IngestError `object_store_away`, `bucket_missing`, `database_away`."""
        yield from self._counted(STORED_OBJECTS, self._stored_objects())
        for check in TABLE_CHECKS:
            yield from self._counted(check.name, self._table(check))
        if self.video_ids is None:
            yield from self._counted(BUCKET, self._unknown_objects())

    def _counted(self, name: str, found: Iterator[Problem]) -> Iterator[Problem]:
        tally = self.tallies.setdefault(name, Tally())
        for problem in found:
            tally.problems += 1
            yield problem

    # ---- stored objects ------------------------------------------------------------------------------------------

    def _stored_objects(self) -> Iterator[Problem]:
        with self.database.transaction() as connection:
            self._progress.total_objects, self._progress.total_bytes = verification.total(connection, self.video_ids)
        audit.require_bucket(self.client, self.bucket)
        known = {self.bucket}
        with ThreadPoolExecutor(READERS if self.deep else HEADS) as pool:
            for page in self._pages():
                for bucket in {stored.bucket for stored in page} - known:
                    audit.require_bucket(self.client, bucket)
                    known.add(bucket)
                for stored, finding in zip(page, pool.map(self._examine, page), strict=True):
                    self._advance(stored)
                    if finding is not None:
                        yield from self._lost(stored, finding)

    def _pages(self) -> Iterator[list[StoredObject]]:
        bucket = key = ""
        while True:
            with self.database.transaction() as connection:
                page = verification.objects_after(connection, bucket, key, PAGE, self.video_ids)
            if not page:
                return
            yield page
            bucket, key = page[-1].bucket, page[-1].object_key

    def _examine(self, stored: StoredObject) -> Finding | None:
        return audit.examine(self.client, mend.wanted(stored), deep=self.deep)

    def _advance(self, stored: StoredObject) -> None:
        self.tallies[STORED_OBJECTS].looked_at += 1
        self._progress.objects += 1
        self._progress.size_bytes += stored.size_bytes
        self.on_progress(self._progress)

    def _lost(self, stored: StoredObject, finding: Finding) -> Iterator[Problem]:
        """A problem for each media file that refers to the object now; none if it has been dropped meanwhile."""
        with self.database.transaction() as connection:
            files = verification.references(connection, stored)
        done = mend.mend(self.database, self.client, stored, finding) if self.mend and files else {}
        for file in files:
            yield Problem(
                check=STORED_OBJECTS,
                video_id=file.video_id,
                job_id=None,
                kind=_kind(file),
                object=f"s3://{stored.bucket}/{stored.object_key}",
                wrong=finding.said,
                advice=_ADVICE.get(finding.fault) or _rebuild(file),
                done=done.get(file.media_file_id),
            )

    # ---- tables --------------------------------------------------------------------------------------------------

    def _table(self, check: TableCheck) -> Iterator[Problem]:
        with self.database.transaction() as connection:
            looked_at = verification.looked_at(connection, check, PARTITIONS, self.video_ids)
            self.tallies[check.name].looked_at = looked_at
            for found in verification.disagreements(connection, check, PARTITIONS, self.video_ids):
                yield self._disagreement(check, found)

    def _disagreement(self, check: TableCheck, found: Disagreement) -> Problem:
        mends = self.mend and check is READY_VIDEOS and found.video_id is not None
        return Problem(
            check=check.name,
            video_id=found.video_id,
            job_id=found.job_id,
            kind=None,
            object=None,
            wrong=found.detail,
            advice=_TABLE_ADVICE[check.name],
            done=mend.incomplete(self.database, str(found.video_id)) if mends else None,
        )

    # ---- the bucket ----------------------------------------------------------------------------------------------

    def _unknown_objects(self) -> Iterator[Problem]:
        """None of them is a problem: the sweeper sees to them. They are counted."""
        tally = self.tallies[BUCKET]
        for page in audit.listed(self.client, self.bucket, PREFIX):
            with self.database.transaction() as connection:
                unknown = set(objects.unknown_keys(connection, self.bucket, [each.key for each in page]))
            tally.looked_at += len(page)
            tally.unknown += len(unknown)
            tally.unknown_bytes += sum(each.size_bytes for each in page if each.key in unknown)
        yield from ()


def _kind(file: Reference) -> str:
    which = ", ".join(filter(None, [file.language, file.origin, file.profile]))
    return f"{file.kind} ({which})" if which else file.kind


def _rebuild(file: Reference) -> str:
    if not file.served:
        return "`verify --mend` forgets it, and the video's next attempt makes it anew"
    if file.kind == "audio_track":
        return "`verify --mend` queues a job that extracts it from the stored original"
    return "`verify --mend` queues a job that fetches the video anew"
