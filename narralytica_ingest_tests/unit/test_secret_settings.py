"""Settings that are secret come from the environment or from files, and are in no message about them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from narralytica_ingest.cli.main import explain
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.failures import IngestError
from narralytica_ingest.resources.fetch_options import access

CANARY = "CANARY"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setenv("NARRALYTICA_SECRETS_DIR", str(folder))
    return folder


def test_a_file_of_a_secrets_folder_is_a_setting(secrets: Path) -> None:
    (secrets / "NARRALYTICA_POSTGRES_URL").write_text("postgresql://user:password@db/name\n")
    (secrets / "narralytica_s3_secret_access_key").write_text("key")
    (secrets / "NARRALYTICA_PROXIES").write_text('{"*": "http://user:password@proxy:3128"}')
    (secrets / "..data").mkdir()  # as Kubernetes puts it there
    settings = load_settings()
    assert settings.postgres_url is not None
    assert settings.postgres_url.get_secret_value() == "postgresql://user:password@db/name"
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == "key"
    assert settings.proxies["*"].get_secret_value() == "http://user:password@proxy:3128"
    assert (settings.secrets_dir, settings.workers) == (secrets, 2)


def test_the_environment_goes_before_a_file_and_an_argument_before_both(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "NARRALYTICA_S3_REGION").write_text("of-the-file")
    assert Settings().s3_region == "of-the-file"
    monkeypatch.setenv("NARRALYTICA_S3_REGION", "of-the-environment")
    assert Settings().s3_region == "of-the-environment"
    assert Settings(s3_region="given").s3_region == "given"


def test_a_secrets_folder_that_is_none_is_told(secrets: Path) -> None:
    secrets.rmdir()
    with pytest.raises(IngestError, match="NARRALYTICA_SECRETS_DIR names no folder") as raised:
        load_settings()
    assert raised.value.code == "secrets_unreadable"


def test_settings_show_no_secret_of_theirs() -> None:
    settings = Settings.model_validate(
        {
            "postgres_url": f"postgresql://u:{CANARY}@h/d",
            "broker_url": f"redis://:{CANARY}@h",
            "s3_access_key_id": CANARY,
            "s3_secret_access_key": CANARY,
            "proxies": {"*": f"http://u:{CANARY}@h"},
            "pot_provider_url": f"http://u:{CANARY}@h",
            "extractor_args": {"youtube": {"po_token": [CANARY]}},
        }
    )
    opened = access(settings, "host")
    assert opened.extractor_args == {"youtube": {"po_token": [CANARY]}}
    assert opened.pot_provider_url == f"http://u:{CANARY}@h"
    assert CANARY not in f"{settings!r} {settings} {settings.model_dump_json()} {opened!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_URL", "mysql://u:CANARY@h"),
        ("BROKER_URL", "CANARY"),
        ("PROXIES", '{"*": ["CANARY"]}'),
        ("PROXIES", '{"*": "CANARY'),
        ("EXTRACTOR_ARGS", '{"youtube": {"po_token": "CANARY"}}'),
        ("EXTRACTOR_ARGS", "CANARY"),
        ("S3_ENDPOINT_URL", "s3.example.com/CANARY"),
        ("WORKERS", "CANARY"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"NARRALYTICA_{name}", value)
    with pytest.raises((ValidationError, ValueError)) as raised:
        load_settings()
    assert CANARY not in f"{raised.value} {explain(raised.value)}"
    assert f"NARRALYTICA_{name}" in explain(raised.value)
