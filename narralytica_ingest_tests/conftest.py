"""What tests share: real servers, started once, and a fresh database for each test."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.local.services import hold
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.migrate import migrate

_TEMPLATE = "narralytica_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Embedded Postgres and S3, with a migrated template database."""
    with hold(Settings(home=tmp_path_factory.mktemp("services"))) as endpoints:
        _run(endpoints.postgres_url, f"CREATE DATABASE {_TEMPLATE}")
        migrate(_renamed(endpoints.postgres_url, _TEMPLATE))
        yield endpoints


@pytest.fixture
def endpoints(services: Endpoints) -> Iterator[Endpoints]:
    """The services, with a fresh database of this test."""
    name = f"test_{next(_numbers)}"
    _run(services.postgres_url, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    url = _renamed(services.postgres_url, name)
    yield Endpoints(postgres_url=url, broker_url=f"sqla+{url}", s3=services.s3)
    _run(services.postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(endpoints: Endpoints) -> Database:
    """The test's own tables."""
    return Database(endpoints.postgres_url)


@pytest.fixture
def settings(endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that point at the test's services; `load_settings()` gives the same."""
    environment = {
        "HOME": str(tmp_path / "home"),
        "POSTGRES_URL": endpoints.postgres_url,
        "S3_ENDPOINT_URL": str(endpoints.s3.url),
        "S3_ACCESS_KEY_ID": str(endpoints.s3.access_key_id),
        "S3_SECRET_ACCESS_KEY": str(endpoints.s3.secret_access_key),
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"NARRALYTICA_{name}", value)
    return Settings()


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _renamed(url: str, database: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{database}"
