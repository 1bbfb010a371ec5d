"""Nobody else gets into the stack: not over the network, not as another user of the machine, not from a web page."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import grpc  # type: ignore[import-untyped]
import psutil
import psycopg
import pytest

from narralytica_ingest.failures import IngestError
from narralytica_ingest.local.environment import Ports, environment
from narralytica_ingest.local.home import free_ports, prepare_home, socket_answers, socket_path
from narralytica_ingest.local.identity import Identity, spawn, wait_until
from narralytica_ingest.local.own_pages import refusal
from narralytica_ingest.local.stack import CODE_SERVER, WEBSERVER, _process
from narralytica_ingest_tests.e2e.running import Running, running_stack

pytestmark = pytest.mark.slow

CHANGE = "mutation { setNuxSeen }"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_stack(tmp_path_factory.mktemp("access") / "home", workers=1) as running:
        yield running


def processes(home: Path) -> list[psutil.Process]:
    """All processes of the stack but ourselves: what it started, and what those did."""
    started = [Identity.load(path) for path in (home / "run").rglob("*.json")]
    found = [each.process() for each in started if each is not None and each.pid != os.getpid()]
    roots = {each.pid: each for each in found if each is not None}
    assert len(roots) >= 7, "Postgres, the object store, and the five of Dagster"
    return [*roots.values(), *(child for root in roots.values() for child in root.children(recursive=True))]


def connections(process: psutil.Process, kind: str) -> list[Any]:
    """Of a process that may be gone by now: those of Postgres come and go."""
    try:
        return [each for each in process.net_connections(kind) if each.laddr]
    except psutil.NoSuchProcess:
        return []


# ---- the network ---------------------------------------------------------------------------------------------------


def test_all_servers_listen_on_loopback_alone_and_the_code_server_has_no_port(stack: Running) -> None:
    home, listening = stack.settings.home, {}
    for process in processes(home):
        addresses = [each.laddr for each in connections(process, "inet") if each.status == psutil.CONN_LISTEN]
        listening[process.pid] = [(address.ip, address.port) for address in addresses]
    found = [each for addresses in listening.values() for each in addresses]
    assert {ip for ip, _ in found} == {"127.0.0.1"}
    known = [urlsplit(url).port for url in (stack.ui_url, stack.endpoints.postgres_url, str(stack.endpoints.s3.url))]
    assert {port for _, port in found} >= set(known)
    code_server = Identity.load(home / "run" / "processes" / f"{CODE_SERVER}.json")
    assert code_server is not None
    assert listening[code_server.pid] == []
    assert socket_answers(socket_path(home, CODE_SERVER))


# ---- another user of the machine -----------------------------------------------------------------------------------


def test_files_sockets_and_memory_images_are_the_owners_alone(stack: Running) -> None:
    home = stack.settings.home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    # What is in the folders of Postgres and of the object store is theirs; the folders are closed.
    theirs = {home / "postgres", home / "s3"}
    outside = [path for path in home.rglob("*") if not theirs & {*path.parents} and not path.is_symlink()]
    assert [str(path) for path in outside if path.lstat().st_mode & 0o077] == []
    sockets = [str(each.laddr) for process in processes(home) for each in connections(process, "unix")]
    there = [Path(path) for path in sockets if path.startswith("/") and Path(path).is_socket()]
    assert socket_path(home, CODE_SERVER) in there
    assert len(there) > 5, "those of the object store"
    assert [path for path in there if path.stat().st_mode & 0o077] == []
    for process in processes(home):
        with suppress(FileNotFoundError, ProcessLookupError):
            limits, status = (Path(f"/proc/{process.pid}/{name}").read_text() for name in ("limits", "status"))
            assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
            assert "Umask:\t0077" in status


@pytest.mark.parametrize("url", ["postgresql://narralytica@", "postgresql://narralytica:wrong@"])
def test_postgres_lets_nobody_in_without_the_password(stack: Running, url: str) -> None:
    where = stack.endpoints.postgres_url.rpartition("@")[2]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url + where, connect_timeout=5)
    psycopg.connect(stack.endpoints.postgres_url).close()


def test_postgres_writes_no_values_into_its_log(stack: Running) -> None:
    log = stack.settings.home / "logs" / "postgres.log"
    with psycopg.connect(stack.endpoints.postgres_url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO ingest_jobs (source_url, upload_ref) VALUES ('cnry-one', 'cnry-two')")
        with pytest.raises(psycopg.errors.NotNullViolation):
            connection.execute("INSERT INTO ingest_jobs (source_url, priority) VALUES (%s, NULL)", ["cnry-three"])
    assert wait_until(lambda: "violates not-null" in log.read_text(), 5)
    assert "cnry" not in log.read_text()


def test_the_parts_of_the_object_store_answer_each_other_alone(stack: Running) -> None:
    folder = stack.settings.home / "endpoints"
    ports = json.loads((folder / "s3-ports.json").read_text())
    certificate, key = ((folder / name).read_bytes() for name in ("s3-inner.crt", "s3-inner.key"))
    target = f"127.0.0.1:{ports['filer.port.grpc']}"
    for stranger in (
        grpc.insecure_channel(target),
        _secure_channel(target, grpc.ssl_channel_credentials(certificate)),
    ):
        with stranger, pytest.raises(grpc.RpcError) as refused:
            _list_buckets(stranger)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with _secure_channel(target, grpc.ssl_channel_credentials(certificate, key, certificate)) as ours:
        assert stack.settings.s3_bucket.encode() in _list_buckets(ours)
    for method in ("GET", "DELETE", "POST"):
        assert _status(ports["volume.port"], method, "/1,01637037d6") == 401
    for name in ("master.port", "filer.port", "admin.port"):
        assert _status(ports[name], "POST", "/dir/assign") == 404


def _secure_channel(target: str, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(target, credentials, (("grpc.ssl_target_name_override", "narralytica-embedded-s3"),))


def _list_buckets(channel: grpc.Channel) -> bytes:
    """The answer to `ListEntries` of the folder /buckets, as it is on the wire."""
    ask = channel.unary_stream("/filer_pb.SeaweedFiler/ListEntries")
    return b"".join(ask(b"\x0a\x08/buckets", timeout=5))


def _status(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_home_that_was_open_is_closed_and_a_folder_with_other_things_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for folder in (home, home / "logs", home / "endpoints"):
        folder.mkdir(mode=0o755)
    prepare_home(home)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (home, home / "logs", home / "endpoints")] == [0o700] * 3

    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "letters.txt").touch()
    prepare_home(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir() if path.is_dir()} == {0o700}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["deep" * 40, "50%", "a#b", "a,b"])
def test_a_deep_or_odd_home_has_its_socket_in_a_folder_that_nobody_else_made(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short_folder))
    deep = tmp_path / name
    path = socket_path(deep, CODE_SERVER)
    assert path == socket_path(deep, CODE_SERVER)
    assert path != socket_path(deep / "other", CODE_SERVER)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    path.parent.chmod(0o755)
    with pytest.raises(IngestError, match="not ours alone"):
        socket_path(deep, CODE_SERVER)


def test_what_crashes_leaves_no_memory_image(tmp_path: Path) -> None:
    command = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    child = spawn([sys.executable, "-c", command], log=tmp_path / "log")
    assert child.wait(10)
    assert (tmp_path / "log").read_text().startswith("(0, ")
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


# ---- a stranger's page in the browser of somebody here ---------------------------------------------------------------


def ask(stack: Running, path: str = "/graphql", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of the UI's answer; a GET where there is no `body`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{stack.ui_url}{path}", body, named)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def as_json(query: str) -> bytes:
    return json.dumps({"query": query}).encode()


def test_the_ui_obeys_its_own_pages_and_programs(stack: Running) -> None:
    for headers in ({}, {"Origin": stack.ui_url}):
        assert ask(stack, body=as_json(CHANGE), **JSON, **headers) == (200, b'{"data":{"setNuxSeen":true}}')
    port = urlsplit(stack.ui_url).port
    named = f"localhost:{port}"
    assert ask(stack, body=as_json(CHANGE), **JSON, Host=named, Origin=f"http://{named}")[0] == 200
    assert ask(stack, "/runs")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "http://["]
)
def test_the_ui_obeys_no_other_page(stack: Running, origin: str) -> None:
    in_query = f"/graphql?query={quote(CHANGE)}"
    report = "/report_asset_materialization/raw_video?description=false"
    before = stack.database.all("SELECT count(*) FROM dagster.event_logs")
    assert ask(stack, body=as_json(CHANGE), **JSON, Origin=origin)[0] == 403
    assert ask(stack, body=as_json(CHANGE), Content_Type="text/plain; application/json", Origin=origin)[0] == 403
    assert ask(stack, in_query, body=b"a=b", Origin=origin)[0] == 403
    assert ask(stack, report, body=b"", Origin=origin)[0] == 403
    assert stack.database.all("SELECT count(*) FROM dagster.event_logs") == before


def test_a_link_or_picture_elsewhere_changes_nothing(stack: Running) -> None:
    assert ask(stack, f"/graphql?query={quote(CHANGE)}")[0] == 403
    assert ask(stack, f"/graphq%6c?query={quote(CHANGE)}")[0] == 403


def test_a_name_that_somebody_gave_our_address_is_not_ours(stack: Running) -> None:
    for host in ("evil.example", f"evil.example:{urlsplit(stack.ui_url).port}", "127.0.0.1.evil.example"):
        assert ask(stack, body=as_json("{ version }"), **JSON, Host=host)[0] == 400
        assert ask(stack, "/runs", Host=host)[0] == 400
    assert ask(stack, body=as_json("{ version }"), **JSON)[0] == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [("", "", 101), ("", "{ui}", 101), ("", "http://evil.example", 403), ("evil.example", "", 400)],
)
def test_websockets_are_for_the_uis_own_pages(stack: Running, host: str, origin: str, status: int) -> None:
    where = urlsplit(stack.ui_url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    headers = {
        "Host": host or where.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    if origin:
        headers["Origin"] = origin.format(ui=stack.ui_url)
    connection.request("GET", "/graphql", headers=headers)
    answer = connection.getresponse()
    assert answer.status == status
    connection.close()


def test_no_other_page_shows_the_ui_in_a_frame(stack: Running) -> None:
    with urllib.request.urlopen(f"{stack.ui_url}/runs", timeout=10) as answer:
        assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://ingest.example", "ingest.example", True),
        ("https://INGEST.example", "127.0.0.1:3000", True),  # the proxy does not pass the name on
        ("https://ingest.example:8443", "127.0.0.1:3000", True),
        ("https://ingest.example.evil.example", "127.0.0.1:3000", False),
        ("https://other.example", "ingest.example", False),
    ],
)
def test_a_proxys_name_for_the_ui_is_ours_where_it_is_named(origin: str, host: str, allowed: bool) -> None:
    asked = {"origin": origin, "host": host}
    why = refusal(asked, "POST", "/graphql", "", frozenset({"ingest.example"}))
    assert (why is None) == allowed


def test_a_read_only_ui_shows_and_changes_nothing(stack: Running, tmp_path: Path) -> None:
    ports = Ports(ui=free_ports(1)[0])
    settings = stack.settings.model_copy(update={"ui_read_only": True})
    env = {**os.environ, **environment(settings, stack.endpoints, ports)}
    spec = _process(WEBSERVER, settings, ports, env)
    server = spawn(spec.argv, log=tmp_path / "log", env=env, cwd=spec.cwd)
    read_only = Running(settings, stack.endpoints, f"http://127.0.0.1:{ports.ui}", [])
    try:
        assert wait_until(lambda: _answers(read_only), 60, interval=0.2), (tmp_path / "log").read_text()
        query = 'mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["raw_video"]}}]) { __typename } }'
        assert read_only.graphql(query)["wipeAssets"]["__typename"] == "UnauthorizedError"
        assert ask(read_only, "/report_asset_materialization/raw_video", body=b"{}", **JSON)[0] == 401
        permissions = read_only.graphql("{ permissions { permission value } }")["permissions"]
        assert {each["value"] for each in permissions} == {False}
    finally:
        server.end([(signal.SIGTERM, 10)])
    ours = stack.graphql("{ permissions { permission value } }")["permissions"]
    assert any(each["value"] for each in ours), "the other one may"


def _answers(running: Running) -> bool:
    try:
        return bool(running.graphql("{ version }")["version"])
    except OSError:
        return False


def test_every_stack_asks_for_the_guarded_ui(stack: Running) -> None:
    webserver = Identity.load(stack.settings.home / "run" / "processes" / f"{WEBSERVER}.json")
    assert webserver is not None
    assert "narralytica_ingest.local.webserver" in psutil.Process(webserver.pid).cmdline()
