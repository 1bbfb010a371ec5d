"""Where the services really are: given by the settings, or left in the home by the embedded stack.

What belongs here: resolving, never starting. `local/` starts the embedded services and writes their addresses with
`save_embedded`; everything else only reads them here.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from narralytica_ingest.config import Settings
from narralytica_ingest.failures import failure


@dataclass(frozen=True)
class S3Endpoint:
    """Where objects are stored. `url` None means Amazon's own endpoints; keys None mean the AWS credential chain."""

    url: str | None
    region: str
    access_key_id: str | None = field(repr=False)
    secret_access_key: str | None = field(repr=False)


@dataclass(frozen=True)
class Endpoints:
    """The services in use. URLs hold passwords: they are kept out of `repr`, and must be kept out of logs."""

    postgres_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    s3: S3Endpoint

    @property
    def dagster_postgres_url(self) -> str:
        """Dagster's own tables live in the schema `dagster` of the same database."""
        return self._sqlalchemy_url("dagster")

    @property
    def result_backend_url(self) -> str:
        """Celery keeps the results of runs in Postgres, whatever the broker is."""
        return f"db+{self._sqlalchemy_url('broker')}"

    def _sqlalchemy_url(self, schema: str) -> str:
        return sqlalchemy_url(self.postgres_url, schema)


def sqlalchemy_url(postgres_url: str, schema: str | None = None) -> str:
    """The URL for SQLAlchemy's psycopg2 dialect, optionally with `schema` as the search path.

    SQLAlchemy 2.1 maps a bare `postgresql://` to psycopg 3, which dagster-postgres does not take.
    """
    url = "postgresql+psycopg2://" + postgres_url.split("://", 1)[1]
    if schema is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={schema}', safe='')}"


def resolve_endpoints(settings: Settings) -> Endpoints:
    """The endpoints to use now. Raises IngestError `services_not_running` if an embedded one was never started."""
    if settings.postgres_url is not None:
        postgres_url = settings.postgres_url.get_secret_value()
    else:
        postgres_url = load_embedded(settings.home, "postgres")["url"]
    if settings.broker_url is not None:
        broker_url = settings.broker_url.get_secret_value()
    else:
        broker_url = f"sqla+{sqlalchemy_url(postgres_url, 'broker')}"
    return Endpoints(postgres_url=postgres_url, broker_url=broker_url, s3=_s3(settings))


def _s3(settings: Settings) -> S3Endpoint:
    if settings.s3_endpoint_url is None:
        return S3Endpoint(**load_embedded(settings.home, "s3"))
    secret = settings.s3_secret_access_key
    key = settings.s3_access_key_id
    return S3Endpoint(
        url=None if settings.s3_endpoint_url == "aws" else settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key_id=key.get_secret_value() if key else None,
        secret_access_key=secret.get_secret_value() if secret else None,
    )


def save_embedded(home: Path, service: str, endpoint: S3Endpoint | dict[str, str]) -> None:
    """Writes an embedded service's address (with its password, so readable by the owner only), atomically."""
    path = _endpoint_file(home, service)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(endpoint) if isinstance(endpoint, S3Endpoint) else endpoint, file)
    fresh.replace(path)


def load_embedded(home: Path, service: str) -> dict[str, str]:
    """What `save_embedded` wrote. Raises IngestError `services_not_running` if it never did."""
    try:
        data: dict[str, str] = json.loads(_endpoint_file(home, service).read_text())
    except FileNotFoundError:
        raise failure(
            "services_not_running",
            f"The embedded {service} of {home} was never started: run `narralytica-ingest up`, or set its URL.",
        ) from None
    return data


def _endpoint_file(home: Path, service: str) -> Path:
    return home / "endpoints" / f"{service}.json"
