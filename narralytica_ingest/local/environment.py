"""The environment of the stack's processes, which is also what the command `env` prints.

What belongs here: turning settings, endpoints and ports into environment variables, and remembering the ports.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.local.home import HOST, read_json, socket_path, write_json


@dataclass(frozen=True)
class Ports:
    """The ports that `up` chose on 127.0.0.1."""

    ui: int

    def save(self, home: Path) -> None:
        """Remembers them for commands in other shells."""
        write_json(_file(home), asdict(self))

    @classmethod
    def load(cls, home: Path) -> "Ports | None":
        """The ports of the last `up`, or None if there was none."""
        data = read_json(_file(home))
        return cls(ui=data["ui"]) if data else None


def _file(home: Path) -> Path:
    return home / "endpoints" / "ports.json"


def environment(settings: Settings, endpoints: Endpoints, ports: Ports | None) -> dict[str, str]:
    """Variables for the stack's processes, and for psql, aws and dagster in a shell.

    Settings that were given are among them, so that a process sees the same ones, however they were given. The
    embedded services are not: a process finds those by the home, and knows that they are embedded. Values hold
    passwords: keep them out of logs.
    """
    variables = {
        **_given(settings),
        "NARRALYTICA_HOME": str(settings.home),
        "NARRALYTICA_WORKERS": str(settings.workers),
        "NARRALYTICA_S3_BUCKET": settings.s3_bucket,
        "NARRALYTICA_S3_UPLOAD_BUCKET": settings.s3_upload_bucket,
        "DATABASE_URL": endpoints.postgres_url,
        "DAGSTER_HOME": str(dagster_home(settings.home)),
        "DAGSTER_CODE_SERVER_SOCKET": str(socket_path(settings.home, "code-server")),
        "DAGSTER_MAX_CONCURRENT_RUNS": str(2 * (2 * settings.workers + 2)),
        "DAGSTER_COMPUTE_LOGS": str(dagster_home(settings.home) / "compute_logs"),
        "DAGSTER_POSTGRES_URL": endpoints.dagster_postgres_url,
        "BROKER_URL": endpoints.broker_url,
        "RESULT_BACKEND_URL": endpoints.result_backend_url,
        "AWS_DEFAULT_REGION": endpoints.s3.region,
        **_present(
            AWS_ENDPOINT_URL=endpoints.s3.url,
            AWS_ACCESS_KEY_ID=endpoints.s3.access_key_id,
            AWS_SECRET_ACCESS_KEY=endpoints.s3.secret_access_key,
        ),
    }
    if ports is not None:
        variables["UI_URL"] = ui_url(ports)
        variables["DAGSTER_UI_PORT"] = str(ports.ui)
    return variables


def ui_url(ports: Ports) -> str:
    """Where people open the Dagster UI."""
    return f"http://{HOST}:{ports.ui}"


def dagster_home(home: Path) -> Path:
    """The folder that Dagster knows as DAGSTER_HOME."""
    return home / "dagster"


def _given(settings: Settings) -> dict[str, str]:
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"NARRALYTICA_{name.upper()}": _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    """The value as an environment variable has it: a mapping is JSON."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value, default=_plain) if isinstance(value, dict) else str(value)


def _plain(value: object) -> object:
    return value.model_dump() if isinstance(value, BaseModel) else _text(value)


def _present(**variables: str | None) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value is not None}
