"""The invariants about changes: what one look at the tables shows against the look before it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from narralytica_ingest.store.database import Connection, Row
from narralytica_ingest.store.leases import Lease
from narralytica_ingest_tests.integration.invariants.invariants import LOOK, Invariant, Violated
from narralytica_ingest_tests.integration.invariants.steps import Step

ENDED = {"succeeded", "failed", "canceled"}
# From which states a job may come into each.
CAME_FROM = {
    "queued": {"queued", "dispatched", "running"},
    "dispatched": {"queued", "dispatched"},
    "running": {"dispatched", "running"},
    "succeeded": {"queued", "dispatched", "running"},
    "failed": {"queued", "dispatched", "running"},
    "canceled": {"queued", "dispatched", "running"},
}

_SEE = f"""
SELECT (SELECT coalesce(jsonb_object_agg(video_id, to_jsonb(v)), '{{}}') FROM (
               SELECT video_id, status, generation, lease_run_id, lease_epoch, lease_generation,
                      lease_expires_at < clock_timestamp() AS expired FROM videos) v) AS videos,
       (SELECT coalesce(jsonb_object_agg(job_id, to_jsonb(j)), '{{}}') FROM (
               SELECT job_id, status, outcome, video_id, attempt, failures, cancel_requested, run_id, not_before,
                      options -> 'force' = 'true'::jsonb AS force, created_at FROM ingest_jobs) j) AS jobs,
       (SELECT coalesce(jsonb_agg(DISTINCT object_key), '[]') FROM media_files) AS referenced,
       (SELECT coalesce(jsonb_agg(DISTINCT object_key), '[]') FROM publications) AS published,
       (SELECT coalesce(jsonb_agg(object_key), '[]') FROM leftover_objects) AS left_over,
       (SELECT count(*) FROM hosts) AS hosts,
       (SELECT coalesce(jsonb_agg(w), '[]') FROM ({LOOK}) w) AS wrong
"""
_FINGERPRINT = "SELECT " + ", ".join(
    f"(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t) AS {table}"
    for table in ("videos", "video_aliases", "ingest_jobs", "media_files", "video_metadata", "publications",
                  "leftover_objects", "hosts", "claim_pauses")
)  # fmt: skip


@dataclass
class Seen:
    """One look at the tables."""

    videos: dict[str, Row] = field(default_factory=dict)
    jobs: dict[str, Row] = field(default_factory=dict)
    referenced: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    hosts: int = 0

    @property
    def has_leases(self) -> bool:
        """Whether any video is at work."""
        return any(video["lease_run_id"] for video in self.videos.values())

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is the one that the video's row names."""
        video = self.videos.get(lease.video_id, {})
        return (video.get("lease_run_id"), video.get("lease_epoch")) == (lease.run_id, lease.epoch)


@dataclass
class Stored:
    """What the bucket has: all keys, those that runs stored `late`, after they had lost their lease (only a walk
    through the bucket finds them), and what it `lost` through no fault of ours."""

    bucket: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def fingerprint(connection: Connection) -> Row | None:
    """A value that changes with every row of every table."""
    return connection.execute(_FINGERPRINT).fetchone()


class History:
    """Looks after each step, and compares with the look before."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.run_keys: set[str] = set()
        self.unserved: Counter[str] = Counter()  # how often each video had to be mended

    def claimed(self, run_key: str) -> None:
        """A claim gave this run key."""
        if run_key in self.run_keys:
            raise Violated(Invariant.ATTEMPT_NEVER_REUSED, f"{run_key} was claimed twice")
        self.run_keys.add(run_key)

    def look(self, connection: Connection, step: Step | None, stored: Stored) -> None:
        """Raises Violated. `step` is what happened since the look before, None if nothing but time passed."""
        row = connection.execute(_SEE.encode()).fetchone()
        assert row is not None
        for wrong in row.pop("wrong"):
            raise Violated(Invariant(wrong["name"]), wrong["what"])
        before, self.seen = self.seen, Seen(**row)
        if missing := set(self.seen.referenced) - stored.bucket - stored.lost:
            raise Violated(Invariant.REFERENCED_IS_STORED, missing)
        if unknown := stored.bucket - stored.late - {*self.seen.referenced, *self.seen.published, *self.seen.left_over}:
            raise Violated(Invariant.NOTHING_FORGOTTEN, unknown)
        if step is not None:
            for video_id in before.videos.keys() & self.seen.videos.keys():
                _video_went(before.videos[video_id], self.seen.videos[video_id], step)
                if before.videos[video_id]["status"] == "ready" != self.seen.videos[video_id]["status"]:
                    self.unserved[video_id] += 1
            self._nothing_was_fetched_twice()
            for job_id, now in self.seen.jobs.items():
                self._job_went(before.jobs.get(job_id), now, step)
            _nothing_served_went(before, self.seen, step)

    def _nothing_was_fetched_twice(self) -> None:
        """Of the jobs of a video that do not force, one fetched it, and one each time that it lost a file."""
        plain = (job for job in self.seen.jobs.values() if job["outcome"] == "ingested" and not job["force"])
        for video_id, jobs in Counter(job["video_id"] for job in plain if job["video_id"]).items():
            if jobs > 1 + self.unserved[video_id]:
                raise Violated(Invariant.DEDUPE, f"{video_id} was fetched by {jobs} jobs, unasked")

    def _job_went(self, before: Row | None, now: Row, step: Step) -> None:
        what = f"{step.name}: job {now['job_id']}"
        if before is None:
            if now["status"] != "queued" or now["attempt"] or now["failures"]:
                raise Violated(Invariant.NO_JOB_WITHOUT_A_WAY, f"{what} began as {now['status']}")
            return
        if now["attempt"] < before["attempt"]:
            raise Violated(Invariant.ATTEMPT_NEVER_REUSED, f"{what} went back to attempt {now['attempt']}")
        if now["attempt"] > before["attempt"] and f"{now['job_id']}:{now['attempt']}" not in self.run_keys:
            raise Violated(Invariant.ATTEMPT_NEVER_REUSED, f"{what} has an attempt that no claim gave")
        if now["failures"] > before["failures"] and not step.charges:
            raise Violated(Invariant.NOT_CHARGED, what)
        if now["failures"] > before["failures"] + 1:
            raise Violated(Invariant.NOT_CHARGED, f"{what} was charged twice")
        if before["status"] in ENDED:
            if now["status"] != before["status"] and not (step.revives and now["status"] == "queued"):
                raise Violated(Invariant.ENDED_STAYS_ENDED, f"{what} was {before['status']}, is {now['status']}")
        elif before["status"] not in CAME_FROM[now["status"]]:
            raise Violated(Invariant.ENDED_STAYS_ENDED, f"{what} went from {before['status']} to {now['status']}")
        elif now["status"] == "succeeded":
            self._is_true(now, what)
        elif now["status"] == "running" != before["status"]:
            _is_of_its_attempt(now, step, what)

    def _is_true(self, now: Row, what: str) -> None:
        """A job that has just succeeded."""
        if now["outcome"] == "expanded":
            return
        video = self.seen.videos.get(now["video_id"])
        if video is None or video["status"] != "ready":
            raise Violated(Invariant.SUCCESS_IS_TRUE, f"{what} succeeded, and its video is {video}")


def _is_of_its_attempt(now: Row, step: Step, what: str) -> None:
    """A job that a run has just taken up."""
    tags = step.tags and (str(step.tags.job_id), step.tags.attempt)
    if tags != (now["job_id"], now["attempt"]):
        raise Violated(Invariant.ATTEMPT_NEVER_REUSED, f"{what}: attempt {now['attempt']} was taken up by {tags}")


def _video_went(before: Row, now: Row, step: Step) -> None:
    what = f"{step.name}: {now['video_id']}"
    if now["lease_epoch"] < before["lease_epoch"]:
        raise Violated(Invariant.EPOCH_ONLY_GROWS, f"{what} went back to epoch {now['lease_epoch']}")
    passed_on = now["lease_run_id"] != before["lease_run_id"]
    if passed_on and now["lease_run_id"] and now["lease_epoch"] <= before["lease_epoch"]:
        raise Violated(Invariant.EPOCH_ONLY_GROWS, f"{what} was leased anew in epoch {now['lease_epoch']}")
    if passed_on and before["lease_run_id"] not in (None, step.run_id) and not before["expired"]:
        raise Violated(Invariant.LEASE_IS_EXCLUSIVE, f"{what} was taken from {before['lease_run_id']}, which beats")
    if now["generation"] < before["generation"] or (
        before["status"] == "ready" and now["status"] != "ready" and not step.unserves
    ):
        raise Violated(Invariant.SERVED_UNTIL_REPLACED, f"{what} was {before}, is {now}")
    if now["lease_generation"] not in (None, max(now["generation"], 1), now["generation"] + 1):
        raise Violated(Invariant.DEDUPE, f"{what} builds generation {now['lease_generation']}")


def _nothing_served_went(before: Seen, now: Seen, step: Step) -> None:
    for video_id, video in before.videos.items():
        if video["status"] == "ready" and video_id not in now.videos and "delete" not in step.name:
            raise Violated(Invariant.SERVED_UNTIL_REPLACED, f"{step.name}: {video_id} was ready and is gone")


def describe(seen: Seen) -> dict[str, Any]:
    """What is unfinished, for a message."""
    return {job_id: job for job_id, job in seen.jobs.items() if job["status"] not in ENDED}
