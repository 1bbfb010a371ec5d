"""The whole code location on one page.

    ingest_jobs ──► dispatch sensor ──► run of job `ingest`, one video each:
                                            raw_video ──► audio_track
                                                │   └───► video_metadata
                                        S3 objects and Postgres rows; the job's status follows

Loading this module reads no environment and opens no connection; resources do, when a run starts.
"""

import dagster as dg

from narralytica_ingest.assets.audio_track import audio_track
from narralytica_ingest.assets.checks import check, checks
from narralytica_ingest.assets.job_table import ingest_jobs
from narralytica_ingest.assets.raw_video import raw_video
from narralytica_ingest.assets.video_metadata import video_metadata
from narralytica_ingest.io_managers.postgres_table import postgres_table
from narralytica_ingest.io_managers.s3_media import s3_media
from narralytica_ingest.resources.fetcher import fetcher
from narralytica_ingest.resources.media_store import media_store
from narralytica_ingest.resources.run_session import run_session
from narralytica_ingest.sensors.dispatch import INGEST_JOB, dispatch
from narralytica_ingest.sensors.status import run_canceled, run_failed
from narralytica_ingest.sensors.sweeper import sweeper
from narralytica_ingest.sensors.upkeep import upkeep

ingest = dg.define_asset_job(
    INGEST_JOB,
    selection=[raw_video, audio_track, video_metadata],
    description="One video, the whole way: original, audio track and metadata.",
)

defs = dg.Definitions(
    assets=[ingest_jobs, raw_video, audio_track, video_metadata],
    asset_checks=checks,
    jobs=[ingest, check],
    sensors=[dispatch, run_failed, run_canceled, upkeep, sweeper],
    resources={
        "run_session": run_session,
        "media_store": media_store,
        "fetcher": fetcher,
        "s3_media": s3_media,
        "postgres_table": postgres_table,
    },
    # One run per video in one process: the three assets share a scratch folder, a lease and a heartbeat.
    executor=dg.in_process_executor,
)
