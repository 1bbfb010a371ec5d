"""A database of an earlier version, with what is in it, becomes one of this version."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from narralytica_ingest import store
from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints, sqlalchemy_url
from narralytica_ingest.store import dispatch
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest.store.schema import newest_version, version_of
from narralytica_ingest_tests.integration.test_cli import cli

# One ready video with its files, one job in each state that waits for something.
CONTENT = """
INSERT INTO videos (video_id, source, source_id, source_url, status, generation, ready_at)
VALUES ('web-a', 'web', 'a', 'http://host/a.mp4', 'ready', 1, now());
INSERT INTO videos (video_id, source, source_id, source_url) VALUES ('web-b', 'web', 'b', 'http://host/b.mp4');
INSERT INTO media_files (video_id, generation, kind, language, bucket, object_key, size_bytes, sha256, content_type,
                         lease_epoch)
SELECT 'web-a', 1, kind, language, 'bucket', 'key', 1, repeat('a', 64), 'video/mp4', 1
  FROM (VALUES ('raw_video', NULL), ('captions', 'en'), ('captions', 'de')) AS file (kind, language);
INSERT INTO video_metadata (video_id, generation, title, lease_epoch) VALUES ('web-a', 1, 'A talk', 1);
INSERT INTO ingest_jobs (source_url, video_id, source_host, status, outcome, finished_at)
VALUES ('http://host/a.mp4', 'web-a', 'host', 'succeeded', 'ingested', now());
INSERT INTO ingest_jobs (source_url, video_id, source_host) VALUES ('http://host/b.mp4', 'web-b', 'host');
INSERT INTO ingest_jobs (source_url) VALUES ('http://host/c.mp4');
"""


@pytest.fixture
def old(services: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database of the first version, which `cli` uses too."""
    url = f"{services.postgres_url.rsplit('/', 1)[0]}/of_the_first_version"
    _run(services.postgres_url, "CREATE DATABASE of_the_first_version")
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(store.__path__))) / "migrations"))
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    _run(url, CONTENT)
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", url)
    yield Database(url)
    _run(services.postgres_url, "DROP DATABASE of_the_first_version WITH (FORCE)")


def _run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def test_what_was_there_stays_and_what_is_new_works(old: Database) -> None:
    migrate(old.url)
    with old.transaction() as connection:
        assert version_of(connection) == newest_version()
        assert dispatch.answer_ready(connection) == 0
        assert [each.video_id for each in dispatch.claim(connection, 10)] == ["web-b"]
        connection.execute(
            "INSERT INTO media_files (video_id, generation, kind, language, origin, bucket, object_key, size_bytes,"
            " sha256, content_type, lease_epoch)"
            " VALUES ('web-a', 1, 'captions', 'en', 'automatic', 'bucket', 'key', 1, repeat('a', 64), 'text/vtt', 1)"
        )
    files = old.all("SELECT kind, language, origin FROM ready_media_files ORDER BY kind, language, origin NULLS FIRST")
    assert [tuple(file.values()) for file in files] == [
        ("captions", "de", None),
        ("captions", "en", None),
        ("captions", "en", "automatic"),
        ("raw_video", None, None),
    ]
    assert old.all("SELECT title FROM ready_video_metadata") == [{"title": "A talk"}]
    assert len(old.all("SELECT FROM ingest_jobs WHERE playlist IS NULL")) == 3
    assert old.all("SELECT * FROM playlist_jobs") == old.all("SELECT * FROM hosts") == []


def test_migrating_again_changes_nothing(old: Database) -> None:
    migrate(old.url)
    migrate(old.url)
    assert len(old.all("SELECT FROM ingest_jobs")) == 3


def test_commands_say_which_version_is_there_and_what_to_do(
    old: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", old.url)  # `settings` set its own
    refused = cli("hosts")
    assert (refused.code, refused.out) == (2, "")
    assert (
        f"of version 0001, and version {newest_version()} is needed: run `narralytica-ingest migrate`"
        in refused.sentence
    )
    assert "migrate" in cli("doctor").out
    assert cli("migrate").code == 0
    assert cli("jobs", "--json").code == 0
    _run(old.url, "UPDATE ingest_schema_version SET version_num = '9999'")
    assert f"have version 9999, this program knows {newest_version()}: update it" in cli("jobs").sentence
