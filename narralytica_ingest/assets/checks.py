"""Checks of each video, per partition, run in every ingest and again by the job `check` whenever somebody asks.

One step for each asset that is checked, since a step costs more than a check. They read the tables and ask the bucket
with one HEAD for each object; the judgement is in `verdicts.py`. A check that cannot ask says so as a warning: what is
away stops the work itself, not the look at it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from narralytica_ingest.assets import verdicts
from narralytica_ingest.assets.verdicts import Faults, Judge, Verdict
from narralytica_ingest.failures import IngestError
from narralytica_ingest.partitions import videos
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.shown.tables import table
from narralytica_ingest.store.recorded import Recorded, recorded

SIDE_FILES = ("source_info", "thumbnail", "captions")
BATCH = 250
# *Execute all* in Dagster's UI (1.13) starts a run without one.
NO_PARTITION = (
    "A check needs a video: launch the job `check` with its partition (Jobs, check, Launchpad or Partitions)."
)
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Check:
    """A check of an asset. `kinds`: of which files it asks the bucket. `blocking`: nothing is made of what fails it."""

    name: str
    description: str
    judge: Judge
    kinds: tuple[str, ...] = ()
    blocking: bool = False


def _stored(*kinds: str) -> Check:
    return Check(
        "stored",
        "The bucket has the objects, with size and SHA-256 as recorded. Blocking: nothing is made of a lost object.",
        verdicts.stored(*kinds),
        kinds,
        blocking=True,
    )


CHECKS: Mapping[str, tuple[Check, ...]] = {
    "raw_video": (
        _stored("raw_video", *SIDE_FILES),
        Check("whole", "Nothing of the original is missing or damaged, as far as it was noticed.", verdicts.whole),
    ),
    "audio_track": (
        _stored("audio_track"),
        Check("matches_video", "The sound is as long as the video.", verdicts.matches_video),
        Check("audible", "There is something to hear: neither silence nor an overdriven recording.", verdicts.audible),
    ),
    "video_metadata": (
        Check(
            "complete", "All is there that can be known of any video, whatever its source states.", verdicts.complete
        ),
    ),
}


def _checks_of(asset: str) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            each.name, asset=asset, description=each.description, blocking=each.blocking, partitions_def=videos
        )
        for each in CHECKS[asset]
    ]

    @dg.multi_asset_check(name=f"{asset}_checks", specs=specs, can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, media_store: dg.ResourceParam[MediaStore]
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        selected = [each for each in CHECKS[asset] if each.name in wanted]
        if not (context.has_partition_key or context.has_partition_key_range):
            raise dg.Failure(NO_PARTITION, allow_retries=False)
        found = _verdicts(media_store, selected, list(context.partition_keys), context.run.run_id)
        for each in selected:
            yield dg.AssetCheckResult(asset_key=asset, check_name=each.name, **_result(_together(found[each.name])))

    return check


def _result(verdict: Verdict) -> dict[str, Any]:
    """A verdict in Dagster's words."""
    severity = ERROR if verdict.grave else WARN
    return {
        "passed": verdict.passed,
        "severity": severity,
        "description": verdict.said,
        "metadata": verdict.shown,
    }


def _verdicts(
    store: MediaStore, checks: list[Check], video_ids: list[str], run_id: str
) -> dict[str, dict[str, Verdict]]:
    """What each check says of each video. Of many, a batch at a time is read."""
    found: dict[str, dict[str, Verdict]] = {check.name: {} for check in checks}
    for start in range(0, len(video_ids), BATCH):
        batch = video_ids[start : start + BATCH]
        known, faults, unasked = _read(store, checks, batch, run_id)
        for check in checks:
            found[check.name] |= {each: unasked or check.judge(known[each], faults) for each in batch}
    return found


def _read(
    store: MediaStore, checks: list[Check], video_ids: list[str], run_id: str
) -> tuple[dict[str, Recorded], Faults, Verdict | None]:
    """What tables and bucket say; the verdict of all checks instead, where they cannot be asked."""
    try:
        known = store.database.patiently(
            lambda connection: recorded(connection, video_ids, run_id), store.settings.lease_seconds
        )
        kinds = {kind for check in checks for kind in check.kinds}
        return known, store.faults([file for video in known.values() for file in video.of_kinds(*kinds)]), None
    except IngestError as error:
        return {}, {}, Verdict(False, f"It could not be checked: {error}")


def _together(found: Mapping[str, Verdict]) -> Verdict:
    """One verdict for the videos of the run, which mostly is one."""
    if len(found) == 1:
        return next(iter(found.values()))
    failed = {video_id: verdict for video_id, verdict in found.items() if not verdict.passed}
    rows = [{"video": video_id, "said": verdict.said} for video_id, verdict in failed.items()]
    return Verdict(
        passed=not failed,
        said=f"{len(found) - len(failed)} of {len(found)} videos pass.",
        grave=any(verdict.grave for verdict in failed.values()),
        shown={"failed": table({"video": "string", "said": "string"}, rows)} if rows else {},
    )


checks: list[dg.AssetChecksDefinition] = [_checks_of(asset) for asset in CHECKS]


@dg.op(name="checks", description="Every check on one video.")
def _check_again(context: dg.OpExecutionContext, media_store: dg.ResourceParam[MediaStore]) -> None:
    video_id = context.partition_key
    for asset, of_asset in CHECKS.items():
        found = _verdicts(media_store, list(of_asset), [video_id], context.run_id)
        target = _target(context.instance, asset, video_id)
        for each in of_asset:
            said = _result(found[each.name][video_id])
            evaluation: Any = dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=each.name,
                partition=video_id,
                target_materialization_data=target,
                **said,
            )
            context.log_event(evaluation)  # which takes it, though its signature does not say so


def _target(
    instance: dg.DagsterInstance, asset: str, video_id: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What the check is of; without it the UI counts the partition as unchecked."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[video_id])
    found = next(iter(instance.fetch_materializations(wanted, limit=1).records), None)
    if found is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=found.storage_id, run_id=found.run_id, timestamp=found.timestamp
    )


# Neither Dagster's UI nor an asset job can execute checks alone on a partition (1.13); a job of ops can.
@dg.job(
    partitions_def=videos,
    executor_def=dg.in_process_executor,
    description="Checks one video again, or a backfill of many: it reads tables and bucket, and changes nothing.",
)
def check() -> None:
    """See the description."""
    _check_again()
