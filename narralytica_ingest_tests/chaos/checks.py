"""What must hold when the chaos is over: tables, bucket and Dagster agree, and nothing is left lying about."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from narralytica_ingest.store.database import Row
from narralytica_ingest_tests.chaos.watch import Watch
from narralytica_ingest_tests.chaos.world import World

QUIET_SECONDS = 120.0
_MARK = "NARRALYTICA_CHILD"
_MEDIA = "media/"  # what else is in the bucket belongs to the server and to the installation


@dataclass
class Findings:
    """What is wrong, by what it is; `jobs` are those whose history tells more."""

    wrong: dict[str, list[str]] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)

    def add(self, what: str, said: str, job: object = None) -> None:
        """Notes one thing that is wrong."""
        self.wrong.setdefault(what, []).append(said)
        if job is not None:
            self.jobs.add(str(job))


LOST, STUCK, TWICE = "jobs lost", "stuck jobs", "duplicates"
CORRUPT, ORPHANED, MISSING = "corrupt objects", "orphaned objects", "objects missing"
LEFT, APART, CHARGED = "things left behind", "tables and Dagster apart", "attempts charged to the wrong side"
ZOMBIES = "writes after the lease was lost"


def wait_until_quiet(world: World) -> None:
    """Waits until runs and leases have ended, as they must by themselves; not longer than two minutes."""
    deadline = time.monotonic() + QUIET_SECONDS
    while any(_unended(world, *_AT_WORK)) and time.monotonic() < deadline:
        time.sleep(1)


def check(world: World, watch: Watch) -> Findings:
    """Looks at everything, the content of every object included."""
    findings = Findings()
    for step in (_check_jobs, _check_videos, _check_objects, _check_dagster, _check_rest):
        step(world, findings)
    for job_id, said in watch.wrong_charges():
        findings.add(CHARGED, said, job_id)
    for said in watch.unready:
        findings.add(LOST, said)
    for said in watch.overwritten:
        findings.add(ZOMBIES, said)
    for said in watch.left:
        findings.add(LEFT, said)
    return findings


# ---- jobs and videos ------------------------------------------------------------------------------------------------


def _check_jobs(world: World, findings: Findings) -> None:
    for job in world.sql("SELECT * FROM ingest_jobs ORDER BY created_at"):
        told = f"job {job['job_id']}: {job['status']} {job['error_code'] or ''} {job['error_message'] or ''}"
        if job["finished_at"] is None:
            findings.add(STUCK, told, job["job_id"])
        elif job["status"] != "succeeded" and not _may_fail(world, job):
            findings.add(LOST, told, job["job_id"])


def _may_fail(world: World, job: Row) -> bool:
    """The jobs of a video that was deleted meanwhile say so."""
    video = world.library.of_url(job["source_url"] or job["upload_ref"])
    return video is not None and video.deleted > 0 and job["error_code"] in ("video_deleted", "canceled")


def _check_videos(world: World, findings: Findings) -> None:
    rows = world.sql(
        "SELECT v.video_id, v.status, v.generation, v.source_url, v.upload_ref, v.content_sha256,"
        " (SELECT count(*) FROM video_metadata m WHERE m.video_id = v.video_id) AS metadata,"
        " (SELECT count(*) FROM video_metadata m WHERE m.video_id = v.video_id AND m.generation = v.generation)"
        " AS here,"
        " ARRAY(SELECT kind || ' ' || generation FROM media_files f WHERE f.video_id = v.video_id"
        "        AND kind IN ('raw_video', 'audio_track')) AS files,"
        " (SELECT sha256 FROM media_files f WHERE f.video_id = v.video_id AND kind = 'raw_video' LIMIT 1) AS raw"
        " FROM videos v"
    )
    by_number: dict[int, list[str]] = {}
    for row in rows:
        name, generation = row["video_id"], row["generation"]
        video = world.library.of_url(row["source_url"] or row["upload_ref"])
        if video is None:
            findings.add(TWICE, f"video {name} is nobody's: {row['source_url'] or row['upload_ref']}")
            continue
        by_number.setdefault(video.number, []).append(name)
        if row["status"] != "ready":
            findings.add(LOST, f"video {name} ({video.kind}) is {row['status']}")
            continue
        wanted = sorted([f"raw_video {generation}", f"audio_track {generation}"])
        if sorted(row["files"]) != wanted or (row["metadata"], row["here"]) != (1, 1):
            findings.add(TWICE, f"video {name}: {row['files']}, {row['metadata']} metadata, served {generation}")
        if video.served and row["raw"] not in video.served:
            findings.add(CORRUPT, f"video {name} ({video.kind}): its original {row['raw']} was never served")
        if row["raw"] != row["content_sha256"]:
            findings.add(CORRUPT, f"video {name}: {row['raw']} is stored, {row['content_sha256']} said")
    for video in world.library.videos:
        names = by_number.get(video.number, [])
        if len(names) != 1:
            findings.add(TWICE if names else LOST, f"source {video.number} ({video.kind}) became {names or 'no video'}")
    _check_outcomes(world, findings)
    _check_originals_of_youtube(world, findings)
    _check_tracks(world, findings)


def _check_outcomes(world: World, findings: Findings) -> None:
    """Whoever asks for a known video is told so: no more than one job ingested it, but for those that had to."""
    ingested: dict[int, int] = {}
    for job in world.sql("SELECT source_url, upload_ref FROM ingest_jobs WHERE outcome = 'ingested'"):
        video = world.library.of_url(job["source_url"] or job["upload_ref"])
        if video is not None:
            ingested[video.number] = ingested.get(video.number, 0) + 1
    for video in world.library.videos:
        allowed, found = 1 + video.ingested_anew, ingested.get(video.number, 0)
        if found > allowed:
            findings.add(TWICE, f"source {video.number} was ingested by {found} jobs, {allowed} would do")


def _check_originals_of_youtube(world: World, findings: Findings) -> None:
    """The same streams give the same object: all of these videos have the same picture and sound."""
    rows = world.sql(
        "SELECT DISTINCT sha256 FROM media_files JOIN videos USING (video_id)"
        " WHERE kind = 'raw_video' AND source = 'youtube'"
    )
    if len(rows) > 1:
        findings.add(CORRUPT, f"the same streams gave {len(rows)} originals: {[row['sha256'] for row in rows]}")


def _check_tracks(world: World, findings: Findings) -> None:
    """A track is made of the original beside which it is served: the same sound gives the same track."""
    rows = world.sql(
        "SELECT o.sha256 AS original, t.sha256 AS track, o.video_id FROM media_files o"
        " JOIN media_files t ON t.video_id = o.video_id AND t.kind = 'audio_track'"
        " JOIN videos v ON v.video_id = o.video_id AND v.source <> 'youtube' WHERE o.kind = 'raw_video'"
    )
    for of_quiet in (False, True):
        tracks = Counter(row["track"] for row in rows if (row["original"] in world.library.quiet) is of_quiet)
        usual = next((track for track, _ in tracks.most_common(1)), None)
        for row in rows:
            if (row["original"] in world.library.quiet) is of_quiet and row["track"] != usual:
                findings.add(CORRUPT, f"video {row['video_id']}: its track {row['track']} is of another original")


# ---- the bucket -----------------------------------------------------------------------------------------------------


def _check_objects(world: World, findings: Findings) -> None:
    running, bucket = world.running, world.running.settings.s3_bucket
    rows = world.sql("SELECT DISTINCT object_key, size_bytes, sha256 FROM media_files WHERE bucket = %s", (bucket,))
    there = {key: size for key, size in running.objects().items() if key.startswith(_MEDIA)}
    for key in sorted(there.keys() - {row["object_key"] for row in rows}):
        findings.add(ORPHANED, f"object {key} ({there[key]:,} bytes) has no row")
    for row in rows:
        key = row["object_key"]
        if key not in there:
            findings.add(MISSING, f"row without object {key}")
            continue
        digest, size = hashlib.sha256(), 0
        for chunk in running.s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(1 << 20):
            digest.update(chunk)
            size += len(chunk)
        if (digest.hexdigest(), size) != (row["sha256"], row["size_bytes"]) or row["sha256"] not in key:
            findings.add(CORRUPT, f"object {key} is {digest.hexdigest()} with {size:,} bytes")
    for upload in running.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        findings.add(ORPHANED, f"multipart upload of {upload['Key']} since {upload['Initiated']:%H:%M:%S}")


# ---- Dagster --------------------------------------------------------------------------------------------------------


def _check_dagster(world: World, findings: Findings) -> None:
    known = {row["video_id"] for row in world.sql("SELECT video_id FROM videos")}
    for name in sorted(known ^ world.running.partitions()):
        findings.add(APART, f"{name} is {'a video without a partition' if name in known else 'a partition alone'}")
    for run in world.sql(
        "SELECT run_id, status FROM dagster.runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
    ):
        findings.add(LEFT, f"run {run['run_id']} is {run['status']}")
    materialized = world.sql(
        "SELECT DISTINCT partition, asset_key FROM dagster.event_logs"
        " WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND partition IS NOT NULL"
    )
    shown = {(row["partition"], row["asset_key"]) for row in materialized}
    for video in world.sql("SELECT video_id FROM videos WHERE status = 'ready'"):
        for asset in ("raw_video", "audio_track", "video_metadata"):
            if (video["video_id"], f'["{asset}"]') not in shown:
                findings.add(APART, f"{asset} of {video['video_id']} is stored, and Dagster does not know it")


# ---- what is left ---------------------------------------------------------------------------------------------------


_AT_WORK = (
    ("videos", "lease_run_id IS NOT NULL"),
    ("dagster.runs", "status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"),
)
_TO_SWEEP = (("publications", "true"), ("leftover_objects", "true"), ("claim_pauses", "true"))


def _unended(world: World, *tables: tuple[str, str]) -> Iterator[str]:
    for table, where in tables:
        rows = world.sql(f"SELECT count(*) AS n FROM {table} WHERE {where}")
        if rows[0]["n"]:
            yield f"{rows[0]['n']} rows of {table} where {where}"


def _check_rest(world: World, findings: Findings) -> None:
    for said in _unended(world, *_AT_WORK, *_TO_SWEEP):
        findings.add(LEFT, said)
    for name in ("scratch", "partial", "reservations"):
        folder = world.home / name
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            findings.add(LEFT, f"{name}/{path.name}")
    mine = {each.pid for each in _family(world)}
    for process in _matching(lambda process: _is_of(process, world)):
        if process.pid not in mine:
            findings.add(LEFT, f"process {process.pid}: {' '.join(process.cmdline())[:120]}")
    for process in _matching(lambda process: any("ffmpeg" in word for word in process.cmdline()[:1])):
        if str(world.home) in " ".join(process.cmdline()):
            findings.add(LEFT, f"ffmpeg {process.pid}")


def check_ended(world: World, findings: Findings) -> None:
    """When the stack has been stopped: nothing of it runs any more."""
    for process in _matching(lambda process: _is_of(process, world) or str(world.home) in " ".join(process.cmdline())):
        if process.pid != psutil.Process().pid and "narralytica_ingest_tests" not in " ".join(process.cmdline()):
            findings.add(LEFT, f"process {process.pid} outlives the stack: {' '.join(process.cmdline())[:120]}")


def _family(world: World) -> Iterator[psutil.Process]:
    for name in ("code-server", "worker", "spare-worker", "daemon", "webserver"):
        process = world.process(name)
        if process is not None:
            yield process
            yield from process.children(recursive=True)


def _is_of(process: psutil.Process, world: World) -> bool:
    return process.environ().get(_MARK, "").startswith(f"{world.home}#")


def _matching(condition: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and condition(process):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
