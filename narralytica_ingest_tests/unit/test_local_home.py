"""The small tools of the embedded stack: files, locks, identities of processes, the environment."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints, S3Endpoint
from narralytica_ingest.local.environment import Ports, environment
from narralytica_ingest.local.home import Lock, prepare_home, read_json, socket_path, write_json
from narralytica_ingest.local.identity import Identity, spawn

ENDPOINTS = Endpoints(
    postgres_url="postgresql://u:p@127.0.0.1:1/db",
    broker_url="sqla+postgresql+psycopg2://u:p@127.0.0.1:1/db",
    s3=S3Endpoint("http://127.0.0.1:2", "us-east-1", "key", "secret"),
)


def test_a_home_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    prepare_home(tmp_path / "a" / "home")
    assert stat.S_IMODE((tmp_path / "a" / "home").stat().st_mode) == 0o700


def test_what_is_written_is_read_back_and_is_private(tmp_path: Path) -> None:
    write_json(tmp_path / "f.json", {"a": 1})
    assert read_json(tmp_path / "f.json") == {"a": 1}
    assert stat.S_IMODE((tmp_path / "f.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "[1]", '{"a": '])
def test_a_torn_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "f.json").write_text(content)
    assert read_json(tmp_path / "f.json") is None


def test_who_shares_a_lock_last_can_take_it_alone(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    first.share()
    second.share()
    assert not first.try_take()
    first.close()
    assert second.try_take()
    second.close()


def test_children_do_not_inherit_a_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    lock.take()
    child = spawn([sys.executable, "-c", "import time; time.sleep(60)"], log=tmp_path / "log")
    lock.close()
    other = Lock(tmp_path / "lock")
    assert other.try_take()
    other.close()
    child.end([(signal.SIGTERM, 5)])


def test_a_reused_pid_is_not_taken_for_the_old_process() -> None:
    me = Identity.of(os.getpid())
    assert me.alive
    assert not Identity(me.pid, me.created - 100).alive


def test_a_zombie_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        identity = Identity.of(child.pid)
        child.kill()
        assert identity.wait(5)


def test_the_environment_names_every_service_and_does_not_make_embedded_ones_look_given(tmp_path: Path) -> None:
    variables = environment(Settings(home=tmp_path), ENDPOINTS, Ports(ui=4))
    assert variables["NARRALYTICA_HOME"] == str(tmp_path)
    assert variables["DATABASE_URL"] == "postgresql://u:p@127.0.0.1:1/db"
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:2"
    assert variables["UI_URL"] == "http://127.0.0.1:4"
    assert variables["DAGSTER_CODE_SERVER_SOCKET"] == str(socket_path(tmp_path, "code-server"))
    assert "NARRALYTICA_POSTGRES_URL" not in variables
    assert "NARRALYTICA_S3_ENDPOINT_URL" not in variables


def test_the_environment_passes_on_the_settings_that_were_given(tmp_path: Path) -> None:
    given = Settings.model_validate({"home": tmp_path, "postgres_url": SecretStr("postgresql://x"), "max_attempts": 7})
    variables = environment(given, ENDPOINTS, None)
    assert variables["NARRALYTICA_POSTGRES_URL"] == "postgresql://x"
    assert variables["NARRALYTICA_MAX_ATTEMPTS"] == "7"
    assert "UI_URL" not in variables


def test_the_environment_passes_on_settings_that_are_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings.model_validate(
        {
            "home": tmp_path,
            "proxies": {"example.com": "http://user:password@127.0.0.1:3128"},
            "host_rules": {"example.com": {"concurrency": 1, "pause_seconds": 9}},
            "extractor_args": {"youtube": {"player_client": ["web", "tv"]}},
        }
    )
    for name, value in environment(given, ENDPOINTS, None).items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert (read.proxies, read.host_rules, read.extractor_args) == (
        given.proxies,
        given.host_rules,
        given.extractor_args,
    )


def test_ports_are_remembered(tmp_path: Path) -> None:
    assert Ports.load(tmp_path) is None
    Ports(ui=2).save(tmp_path)
    assert Ports.load(tmp_path) == Ports(ui=2)
