"""Where videos come from: the table that the API writes. Not made by this worker, so an external asset."""

import dagster as dg

from narralytica_ingest.assets.columns import JOB_COLUMNS

ingest_jobs = dg.AssetSpec(
    "ingest_jobs",
    description="The job table: one row per request that a video become ready. Its contract: docs/job-table.md.",
    group_name="ingest",
    owners=["team:api"],
    kinds={"postgres"},
    metadata=JOB_COLUMNS,
)
