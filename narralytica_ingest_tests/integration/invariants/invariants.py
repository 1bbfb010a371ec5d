"""The invariants by name. docs/invariants.md says what each promises and what holds it up.

Here stand those that one look at the tables decides: each is a SELECT that must find nothing. Those that need the look
before as well are in `history.py`, those about the end in `quiesce.py`.
"""

from enum import StrEnum


class Invariant(StrEnum):
    """Their names."""

    ONE_JOB_IN_FLIGHT = "ONE-JOB-IN-FLIGHT"
    LEASE_IS_EXCLUSIVE = "LEASE-IS-EXCLUSIVE"
    EPOCH_ONLY_GROWS = "EPOCH-ONLY-GROWS"
    FENCED = "FENCED"
    ATTEMPT_NEVER_REUSED = "ATTEMPT-NEVER-REUSED"
    READY_IS_WHOLE = "READY-IS-WHOLE"
    SERVED_UNTIL_REPLACED = "SERVED-UNTIL-REPLACED"
    REFERENCED_IS_STORED = "REFERENCED-IS-STORED"
    NOTHING_FORGOTTEN = "NOTHING-FORGOTTEN"
    END_IS_EXPLAINED = "END-IS-EXPLAINED"
    ENDED_STAYS_ENDED = "ENDED-STAYS-ENDED"
    SUCCESS_IS_TRUE = "SUCCESS-IS-TRUE"
    NOT_CHARGED = "NOT-CHARGED"
    BUDGET = "BUDGET"
    NO_JOB_WITHOUT_A_WAY = "NO-JOB-WITHOUT-A-WAY"
    DEDUPE = "DEDUPE"
    LIVENESS = "LIVENESS"
    CLEAN_IN_THE_END = "CLEAN-IN-THE-END"


class Violated(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: Invariant, what: object) -> None:
        super().__init__(f"{invariant.value} does not hold: {what}")
        self.invariant = invariant


# Each finds what is wrong, as text in a column `what`. The machine's files say in their probe of which original they
# are (`of`), and its metadata in the title: so a mix of two fetches shows.
QUERIES: dict[Invariant, tuple[str, ...]] = {
    Invariant.ONE_JOB_IN_FLIGHT: (
        """
        SELECT video_id || ' has ' || count(*) AS what FROM ingest_jobs
         WHERE status IN ('dispatched', 'running') GROUP BY video_id HAVING count(*) > 1
        """,
    ),
    Invariant.LEASE_IS_EXCLUSIVE: (
        """
        SELECT video_id || ' has half a lease' FROM videos
         WHERE num_nulls(lease_run_id, lease_generation, lease_expires_at) NOT IN (0, 3)
        """,
        """
        SELECT run_id || ' has ' || count(*) || ' jobs' FROM ingest_jobs WHERE status = 'running'
         GROUP BY run_id HAVING count(*) > 1
        """,
        "SELECT job_id || ' runs without a run' FROM ingest_jobs WHERE status = 'running' AND run_id IS NULL",
    ),
    Invariant.READY_IS_WHOLE: (
        """
        SELECT v.video_id || ' lacks a part' FROM videos v
         WHERE v.status = 'ready' AND (
               v.generation = 0
               OR NOT EXISTS (SELECT FROM media_files f WHERE f.video_id = v.video_id
                                 AND f.generation = v.generation AND f.kind = 'raw_video')
               OR NOT EXISTS (SELECT FROM media_files f WHERE f.video_id = v.video_id
                                 AND f.generation = v.generation AND f.kind = 'audio_track')
               OR NOT EXISTS (SELECT FROM video_metadata m WHERE m.video_id = v.video_id
                                 AND m.generation = v.generation))
        """,
        """
        SELECT raw.video_id || ': ' || other.kind || ' is of another original' FROM ready_media_files raw
          JOIN ready_media_files other USING (video_id)
         WHERE raw.kind = 'raw_video' AND other.kind <> 'raw_video' AND other.probe ->> 'of' <> raw.sha256
        """,
        """
        SELECT raw.video_id || ': the metadata is of another original' FROM ready_media_files raw
          JOIN ready_video_metadata m USING (video_id)
         WHERE raw.kind = 'raw_video' AND m.title <> raw.sha256
        """,
        """
        SELECT v.video_id || ' states the content of another original' FROM videos v JOIN ready_media_files raw
          USING (video_id) WHERE raw.kind = 'raw_video' AND v.lease_run_id IS NULL AND v.content_sha256 <> raw.sha256
        """,
    ),
    Invariant.SERVED_UNTIL_REPLACED: (
        """
        SELECT video_id || ' serves generations ' || min(generation) || ' and ' || max(generation)
          FROM ready_media_files GROUP BY video_id HAVING count(DISTINCT generation) > 1
        """,
        """
        SELECT video_id || ' keeps what was replaced' FROM videos v
         WHERE EXISTS (SELECT FROM media_files f WHERE f.video_id = v.video_id AND f.generation < v.generation)
            OR EXISTS (SELECT FROM video_metadata m WHERE m.video_id = v.video_id AND m.generation < v.generation)
        """,
    ),
    Invariant.END_IS_EXPLAINED: (
        """
        SELECT job_id || ' is ' || status || ', and nothing says why' FROM ingest_jobs
         WHERE status IN ('failed', 'canceled') AND num_nulls(error_class, error_code, error_message) > 0
        """,
        """
        SELECT job_id || ' succeeded with an error' FROM ingest_jobs
         WHERE status = 'succeeded' AND num_nonnulls(error_class, error_code, error_message) > 0
        """,
        """
        SELECT job_id || ' is ' || status || ' as ' || error_code FROM ingest_jobs
         WHERE (status = 'canceled') <> (coalesce(error_class, '') = 'canceled')
        """,
        """
        SELECT job_id || ' waits, and nothing says why' FROM ingest_jobs
         WHERE status = 'queued' AND not_before IS NOT NULL AND error_code IS NULL
        """,
    ),
    Invariant.BUDGET: (
        """
        SELECT job_id || ' has ' || failures || ' failures' FROM ingest_jobs
         WHERE failures > coalesce(max_attempts, 3)
            OR (finished_at IS NULL AND failures >= coalesce(max_attempts, 3))
        """,
    ),
    # A way is: to be identified, or claimed, or answered, or canceled; emitted again; or noticed once its lease is old.
    Invariant.NO_JOB_WITHOUT_A_WAY: (
        "SELECT job_id || ' got lost' FROM ingest_jobs WHERE status = 'dispatched' AND dispatched_at IS NULL",
        """
        SELECT j.job_id || ' runs, and nobody will notice when it stops' FROM ingest_jobs j
          LEFT JOIN videos v USING (video_id)
         WHERE j.status = 'running'
           AND (v.video_id IS NULL OR (v.lease_run_id = j.run_id AND v.lease_expires_at IS NULL))
        """,
    ),
    Invariant.DEDUPE: (
        """
        SELECT a.alias || ' is a video and a name of ' || a.video_id FROM video_aliases a
          JOIN videos v ON v.video_id = a.alias WHERE a.video_id <> v.video_id
        """,
    ),
}

LOOK = " UNION ALL ".join(
    f"SELECT '{invariant.value}' AS name, what FROM ({query}) AS found (what)"
    for invariant, queries in QUERIES.items()
    for query in queries
)
