"""The normalized metadata of a video, one row in Postgres."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg

from narralytica_ingest.engine.run_session import RunSession
from narralytica_ingest.io_managers.values import StoredMedia
from narralytica_ingest.metadata.normalize import normalize
from narralytica_ingest.partitions import videos
from narralytica_ingest.shown import table

# Source infos read at once; each is a request of some milliseconds.
READERS = 8


@dg.asset(
    partitions_def=videos,
    backfill_policy=dg.BackfillPolicy.single_run(),
    io_manager_key="postgres_table",
    output_required=False,
    group_name="ingest",
    owners=["team:ingest"],
    kinds={"postgres", "pandas"},
    code_version="1",
    tags={"stage": "metadata"},
)
def video_metadata(
    run_session: dg.ResourceParam[RunSession],
    raw_video: Any,  # StoredMedia, or for a range of partitions dict[str, StoredMedia]
) -> Iterator[dg.Output[Any]]:  # of pandas.DataFrame, which is too slow to import for a sensor's tick
    """What the source declares and what was measured, from what is stored: no network is touched.

    One partition or a range of them in one run. Videos that are at work in another run are left to that run.
    """
    import pandas as pd

    originals: dict[str, StoredMedia] = (
        {raw_video.video_id: raw_video} if isinstance(raw_video, StoredMedia) else raw_video
    )
    with run_session.stage("metadata"):
        taken = run_session.take(list(originals))
        if not taken:
            return
        rows = _rows(run_session, [originals[video_id] for video_id in sorted(taken)])
        frame = pd.DataFrame(rows, dtype=object)
    yield dg.Output(frame, metadata=_shown(rows), data_version=_version(rows))


def _rows(session: RunSession, originals: list[StoredMedia]) -> list[dict[str, Any]]:
    known = session.videos([original.video_id for original in originals])

    def row(original: StoredMedia) -> dict[str, Any]:
        probe = (original.file.probe or {}) | {"size_bytes": original.file.size_bytes}
        video = known[original.video_id]
        return normalize(original.video_id, original.source_info(), probe, video["hints"], video["upload_ref"])

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(row, originals))


def _version(rows: list[dict[str, Any]]) -> dg.DataVersion:
    plain = json.dumps(rows, sort_keys=True, default=str, ensure_ascii=False)
    return dg.DataVersion(hashlib.sha256(plain.encode()).hexdigest())


def _shown(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if len(rows) > 1:
        return {}
    row: Mapping[str, Any] = rows[0]
    values = [
        {"field": name, "value": str(value)[:300], "from": row["origins"].get(name, "")}
        for name, value in row.items()
        if value is not None and name not in ("origins", "video_id")
    ]
    return {"metadata": table({"field": "string", "value": "string", "from": "string"}, values)}
