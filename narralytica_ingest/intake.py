"""From new jobs to their videos: works out the identity, answers what is ready already, and says no to bad input.

The dispatch sensor does this for every job; `submit` does it too, so that a known video is answered at once.
"""

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.media.profiles import language_names, profile_names
from narralytica_ingest.metadata.values import language, line
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.object_store.media import PREFIX, ObjectRef, stat
from narralytica_ingest.redaction import safe_words, shown_url
from narralytica_ingest.sources.identity import identify_upload, identify_url
from narralytica_ingest.sources.upload_area import UploadArea
from narralytica_ingest.store import dispatch, outcomes
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import NewJob, VideoKey

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

# Identities worked out in one go; a tick has a minute, and an upload costs a HEAD.
BATCH = 200

# So much is told of the name of an option that we do not know, and twice as much of what is wrong with one.
_NAMED_CHARACTERS = 80

_INT8 = 2**63 - 1


class Intake:
    """Gives jobs their videos. `endpoints` say where uploads are looked up."""

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._database = Database(endpoints.postgres_url)

    def admit(self, job_ids: Sequence[UUID] | None = None) -> None:
        """Identifies new jobs (all, or these), fails the impossible ones, and answers those whose video is ready.

        One bad job delays no other. If the object store is away, the first job with an upload is deferred with that
        reason, and the others wait for the next look. Raises IngestError `database_away` and `database_conflict`.
        """
        with self._database.transaction() as connection:
            connection.autocommit = True  # a transaction for each job, on one connection: a playlist brings hundreds
            store_is_away = False
            for job in dispatch.unidentified(connection, BATCH, job_ids):
                if not (store_is_away and job.upload_ref):
                    store_is_away |= self._admit_one(connection, job)
        with self._database.transaction() as connection:
            dispatch.cancel_requested(connection)
            dispatch.answer_ready(connection)

    def _admit_one(self, connection: Connection, job: NewJob) -> bool:
        """Gives one job its video, or its verdict. True if the object store turned out to be away."""
        try:
            options = job_options(job)
            key = self._identify(job)
            with connection.transaction():
                dispatch.attach(connection, job.job_id, key, hints=_hints(job), force=options.force)
        except psycopg.errors.ForeignKeyViolation:
            log.info("job %s: the known video that it was led to has just gone; the next look asks again", job.job_id)
        except psycopg.errors.ProgramLimitExceeded:  # no name of a host is that long
            self._refuse(connection, job, failure("invalid_url"))
        except psycopg.OperationalError:  # it says nothing about the job
            raise
        except IngestError as error:
            log.warning("job %s: %s", job.job_id, error)
            self._refuse(connection, job, error)
            return error.code == "object_store_away"
        except Exception as error:
            log.exception("job %s could not be identified", job.job_id)
            verdict = failure("unidentifiable", f"The source cannot be understood ({type(error).__name__}).")
            self._refuse(connection, job, verdict)
        return False

    def _refuse(self, connection: Connection, job: NewJob, error: IngestError) -> None:
        policy = outcomes.retry_policy(self._settings)
        with connection.transaction():
            outcomes.refuse(connection, job.job_id, job.attempt, error, policy)

    def _identify(self, job: NewJob) -> VideoKey:
        reference = job.upload_ref or job.source_url or ""
        if job.upload_ref is None and not reference.lower().startswith("s3://"):
            return VideoKey(**vars(identify_url(reference)), upload_version=None)
        area = upload_area(self._settings)
        bucket, name = area.locate(reference)
        try:
            found = stat(self._client, ObjectRef(bucket, name))
        except IngestError as error:
            raise _about_upload(error, f"s3://{bucket}/{name}") from error
        identity = identify_upload(reference, found.version, area.bucket, area.prefix)
        return VideoKey(**vars(identity), upload_version=found.etag)

    @cached_property
    def _client(self) -> "S3Client":
        # One look, and not for long: the sensor has a minute for everything.
        return make_client(self._endpoints.s3, seconds=3, attempts=1)


def upload_area(settings: Settings) -> UploadArea:
    """Where a job's upload may lie. In a bucket that holds our own media files, too, those are nobody's uploads."""
    shared = settings.s3_upload_bucket == settings.s3_bucket
    return UploadArea(
        settings.s3_upload_bucket, settings.s3_upload_prefix, reserved=PREFIX.rstrip("/") if shared else None
    )


class JobOptions(BaseModel):
    """What `ingest_jobs.options` may say. A limit can only lower the worker's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    force: bool = False
    max_height: int | None = Field(None, ge=1, le=100_000)
    format: str | None = Field(None, min_length=1, max_length=200)
    max_duration_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_bytes: int | None = Field(None, ge=1, le=_INT8)
    playlist_limit: int | None = Field(None, ge=1, le=_INT8)
    audio_profiles: list[str] = Field([], max_length=20)
    audio_languages: list[str] = Field([], max_length=20)

    @field_validator("format")
    @classmethod
    def _without_expressions(cls, value: str | None) -> str | None:
        if value is not None and "~=" in value:
            raise ValueError("a regular expression (~=) may keep the worker busy for ever, and is not taken from jobs")
        return value

    @field_validator("audio_profiles")
    @classmethod
    def _profiles(cls, value: list[str]) -> list[str]:
        if not set(value) <= set(profile_names(value)):  # the tables compare names as they are written
            raise ValueError("a profile's name has blanks around it, or is empty")
        return value

    @field_validator("audio_languages")
    @classmethod
    def _languages(cls, value: list[str]) -> list[str]:
        language_names(value)
        return value


def job_options(job: NewJob) -> JobOptions:
    """What the job wishes. Raises IngestError `invalid_options`."""
    try:
        return JobOptions.model_validate_json(job.options)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = safe_words(".".join(str(part) for part in first["loc"]), _NAMED_CHARACTERS)
        why = safe_words(first["msg"], 2 * _NAMED_CHARACTERS)
        raise failure(
            "invalid_options", f"The job's options are wrong at '{where}' ({why}): see docs/job-table.md."
        ) from error


def _hints(job: NewJob) -> dict[str, str]:
    """What the job states, in the form in which metadata states it."""
    stated = {"title": line(job.title), "channel": line(job.channel), "language": language(job.language)}
    return {name: value for name, value in stated.items() if value is not None}


def _about_upload(error: IngestError, ref: str) -> IngestError:
    """What the store's answer means for a reference that somebody wrote."""
    ref = shown_url(ref)
    if error.code == "object_missing":
        return failure("upload_missing", f"There is no object {ref}: upload it first, then `retry` the job.")
    if error.code == "object_refused":
        return failure("invalid_upload_ref", f"The object store does not take {ref} for a name: correct the job.")
    if error.code == "object_store_refused":
        return failure(
            "upload_forbidden",
            f"The worker's keys may not read {ref}: allow it (or name another bucket), then `retry` the job.",
        )
    return error
