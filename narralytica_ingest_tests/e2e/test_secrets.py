"""No secret comes out: canaries are given to the real stack wherever a secret can be, and then all that it left behind
is searched for them.

Jobs succeed, fail, are tried again and are canceled meanwhile. What is searched: every table of ours, of Dagster and of
Celery, every file of the home, every object and its metadata, notifications, the arguments of every process, what every
command says, and what the UI's server answers.
"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest

from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest_tests.canaries import Canaries, as_bytes, logins
from narralytica_ingest_tests.e2e.running import Running, command, running_stack
from narralytica_ingest_tests.e2e.test_whole_way import unique
from narralytica_ingest_tests.forward_proxy import ForwardProxy
from narralytica_ingest_tests.source_server import SAMPLE, Asked, Resource, SourceServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Where an order stands as it was given: without them nothing could be fetched.
ORDERS = {
    "ingest_jobs": ("source_url", "upload_ref"),
    "videos": ("source_url", "upload_ref"),
    "video_aliases": ("alias",),  # the other URLs under which a video is known again
}
# What only the owner may read, and what must be there: the generated passwords, and the tables themselves.
CREDENTIALS = ("endpoints/postgres.json", "endpoints/s3.json", "endpoints/s3-inner.key", "postgres/data/")
ADDRESS = "203.0.113.77"  # of the client, as pages like to tell it

ASKED_OF_UI = """
{ instance { info runLauncher { name } daemonHealth { allDaemonStatuses { id lastHeartbeatErrors { message } } } }
  runsOrError { ... on Runs { results { runId status tags { key value } runConfigYaml
    eventConnection(limit: 1000) { events { ... on MessageEvent { message }
      ... on ErrorEvent { error { message stack causes { message stack } errorChain { error { message stack } } } }
      ... on MaterializationEvent { metadataEntries { label description
        ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr } ... on UrlMetadataEntry { url }
        ... on JsonMetadataEntry { jsonString } ... on PathMetadataEntry { path } } } } } } } }
  assetNodes { id description opNames metadataEntries { label description } }
  sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "narralytica_ingest"}) {
    ... on Sensors { results { name sensorState { ticks(limit: 50) { skipReason error { message stack } cursor } } } } }
}"""


@dataclass
class Web:
    """Sources that need secrets, and that tell some of their own."""

    source: SourceServer
    other: SourceServer
    canaries: Canaries
    asked: list[Asked] = field(default_factory=list)

    def signed(self, path: str) -> str:
        """The address of `path` with everything that an address may hold: a login, a token, a signature."""
        secret = self.canaries.words
        url = self.source.url(path).replace("://", f"://{secret['urluser']}:{secret['urlpassword']}@")
        return f"{url}?v=1&token={secret['urltoken']}&X-Amz-Signature={secret['urlsignature']}"

    def page(self) -> str:
        """A page with the client's address, a signed medium, and cookies to keep."""
        secret = self.canaries.words
        self.source.add_redirect("/moved.mp4", f"/moved-here.mp4?Signature={secret['redirect']}&ip={ADDRESS}")
        unique(self.source, "/moved-here.mp4", b"moved")
        self.source.add_page("/secret-page.html", f"/moved.mp4?sig={secret['mediasignature']}&ip={ADDRESS}")
        self.source.resources["/secret-page.html"].headers = {
            "Set-Cookie": f"visitor={secret['setcookie']}; Path=/",
            "Authorization": f"Bearer {secret['bearer']}",
        }
        return self.signed("/secret-page.html")

    def quoting(self, status: int) -> str:
        """A page that refuses, and quotes what was sent to it."""

        def answer(asked: Asked) -> Resource:
            self.asked.append(asked)
            said = f"<html><title>{asked.query}</title><body>Refused: {dict(asked.headers)}</body></html>"
            return Resource([said.encode()], "text/html", statuses=[status])

        path = f"/quoting-{status}.html"
        self.source.add_answer(path, answer)
        return self.signed(path)

    def playlist(self) -> str:
        """A manifest whose segments are signed."""
        wanted = [path for path in self.source.resources if path.startswith("/hls/high")]
        for path in wanted:
            body = self.source.resources[path].bodies[0]
            if path.endswith(".m3u8"):
                token = self.canaries.words["segment"].encode()
                body = b"\n".join(
                    line + b"?token=" + token if line.endswith(b".ts") else line for line in body.splitlines()
                )
            self.source.add(
                path.replace("/hls/", "/signed-hls/"), body, content_type=self.source.resources[path].content_type
            )
        return self.signed("/signed-hls/high.m3u8")

    def broken_once(self) -> str:
        unique(self.source, "/broken-once.mp4", b"broken once")
        self.source.resources["/broken-once.mp4"].statuses = [500, 200]
        return self.signed("/broken-once.mp4")

    def slow(self) -> str:
        unique(self.source, "/slow-secret.mp4", b"slow secret")
        self.source.resources["/slow-secret.mp4"].rate = 5_000.0
        return self.signed("/slow-secret.mp4")


@dataclass
class Watch:
    """What is only seen while it happens: notifications, and arguments of processes."""

    notified: list[str] = field(default_factory=list)
    arguments: set[str] = field(default_factory=set)
    looks: int = 0


@contextmanager
def watching(endpoints: Endpoints) -> Iterator[Watch]:
    watch, stopping = Watch(), threading.Event()

    def listen() -> None:
        with psycopg.connect(endpoints.postgres_url, autocommit=True) as connection:
            connection.execute("LISTEN narralytica_ingest")
            while not stopping.is_set():
                watch.notified += [f"{each.channel} {each.payload}" for each in connection.notifies(timeout=0.3)]

    def look() -> None:
        while not stopping.wait(0.2):
            watch.looks += 1
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    watch.arguments.add(" ".join(process.cmdline()))

    threads = [threading.Thread(target=each) for each in (listen, look)]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def canaries() -> Canaries:
    made = Canaries()
    for name in ("urluser", "urlpassword", "urltoken", "urlsignature", "mediasignature", "redirect", "setcookie"):
        made.new(name)
    for name in ("bearer", "cookie", "segment", "proxypassword", "extractorarg", "provider"):
        made.new(name)
    # The name of an uploaded object is an order, too, and the store's to keep.
    made.new("uploadkey", "object s3://narralytica-uploads/", "file s3/")
    made.known("address", ADDRESS)
    return made


@pytest.fixture
def web(source: SourceServer, other_host: SourceServer, canaries: Canaries) -> Web:
    return Web(source, other_host, canaries)


def settings(home: Path, web: Web, proxy: ForwardProxy) -> dict[str, Any]:
    secret = web.canaries.words
    cookies = home.with_name("cookies.txt")
    cookies.write_text(f"# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t{secret['cookie']}\n")
    return {
        "cookies_file": cookies,
        "proxies": {"127.0.0.2": proxy.url(f"user:{secret['proxypassword']}")},
        "extractor_args": {"generic": {"token": [secret["extractorarg"]]}},
        "pot_provider_url": f"http://user:{secret['provider']}@127.0.0.1:9",
        "retry_base_seconds": 0.5,
        "max_attempts": 2,
        "heartbeat_seconds": 1.0,
    }


def jobs_of(stack: Running, web: Web) -> dict[str, UUID]:
    """A job of each kind, all ended."""
    secret = web.canaries.words
    proxied, _ = unique(web.other, "/proxied.mp4", b"proxied")
    key = f"talks/clip.mp4?X-Amz-Signature={secret['uploadkey']}"
    stack.s3.put_object(Bucket=stack.settings.s3_upload_bucket, Key=key, Body=SAMPLE.read_bytes())
    login = f"{secret['urluser']}:{secret['urlpassword']}"
    slow = stack.insert(source_url=web.slow())
    made = {
        "page": stack.insert(source_url=web.page()),
        "manifest": stack.insert(source_url=web.playlist()),
        "again": stack.insert(source_url=web.broken_once()),
        "proxied": stack.insert(source_url=f"{proxied}?token={secret['urltoken']}"),
        "upload": stack.insert(upload_ref=f"s3://{stack.settings.s3_upload_bucket}/{key}"),
        "forbidden": stack.insert(source_url=web.quoting(403)),
        "unauthorized": stack.insert(source_url=web.quoting(401)),
        "broken": stack.insert(source_url=web.quoting(500)),
        "no video": stack.insert(source_url=web.quoting(200)),
        "no url": stack.insert(source_url=f"http://{login}@[half/?token={secret['urltoken']}"),
        "scheme": stack.insert(source_url=f"ftp://{login}@127.0.0.1/clip.mp4?token={secret['urltoken']}"),
        "no host": stack.insert(source_url=f"http://{login}@no-such-host.invalid/?token={secret['urltoken']}"),
        "address": stack.insert(source_url=f"http://{login}@169.254.169.254/?token={secret['urltoken']}"),
        "upload missing": stack.insert(upload_ref=f"s3://{stack.settings.s3_upload_bucket}/{key}.gone"),
    }
    stack.wait_for_bytes(slow)
    stack.cancel(slow)
    stack.finish(slow, *made.values())
    return {**made, "canceled": slow}


def test_no_secret_comes_out_of_a_running_stack(tmp_path: Path, web: Web, canaries: Canaries) -> None:
    home = tmp_path / "home"
    with (
        ForwardProxy(f"user:{canaries.words['proxypassword']}") as proxy,
        running_stack(home, workers=2, **settings(home, web, proxy)) as stack,
        watching(stack.endpoints) as watch,
    ):
        generated(canaries, stack.endpoints)
        made = jobs_of(stack, web)
        rows = {name: stack.job(job_id) for name, job_id in made.items()}
        assert {name: row["status"] for name, row in rows.items()} == {
            **dict.fromkeys(made, "failed"),
            **dict.fromkeys(("page", "manifest", "again", "proxied", "upload"), "succeeded"),
            "canceled": "canceled",
        }, {name: (row["error_code"], row["error_message"]) for name, row in rows.items()}
        assert any("cookie" in str(each.headers).lower() for each in web.asked), "the cookies were used"
        assert proxy.passed, "and the proxy"
        places = {
            **said_by_commands(stack, made),
            **shown_by_the_ui(stack),
            **tables(stack),
            **objects(stack),
            "process arguments": "\n".join(watch.arguments).encode(),
            "notifications": "\n".join(watch.notified).encode(),
            "events of up": "\n".join(stack.events).encode(),
        }
        assert watch.looks > 50
        assert len(watch.notified) > len(made)
        found = {leak.partition(" in ")[0] for leak in canaries.leaks(orders(stack))}
        assert found >= {"urluser", "urlpassword", "urltoken", "urlsignature", "uploadkey"}, "the search finds"
    places |= files(home)
    assert not canaries.leaks(places)
    assert not logins(places)


def generated(canaries: Canaries, endpoints: Endpoints) -> None:
    """What the embedded services chose for themselves."""
    canaries.known("postgres", endpoints.postgres_url.split(":")[2].split("@")[0])
    canaries.known("s3secret", str(endpoints.s3.secret_access_key))
    # Who has the key above: the store's log names its user at the start, as every signed URL does.
    canaries.known("s3key", str(endpoints.s3.access_key_id), "file logs/s3.log", "file s3/")


def said_by_commands(stack: Running, made: dict[str, UUID]) -> dict[str, bytes]:
    """What every command says that shows something. Not of `env`: to print the passwords is its purpose."""
    page = str(made["page"])
    every = ["jobs", "jobs --json", "hosts", "doctor --json", "--debug verify --json", "--debug jobs"]
    every += [
        f"show {page}",
        f"show {page} --json",
        f"--debug show {made['broken']}",
        f"cancel {page}",
        f"retry {page}",
    ]
    every += [f"show {made[name]}" for name in ("no url", "upload", "upload missing")]

    def say(line: str) -> bytes:
        done = command(stack.settings.home, *line.split())
        return (done.stdout + done.stderr).encode()

    with ThreadPoolExecutor(4) as several:
        said = {f"command {line}": words for line, words in zip(every, several.map(say, every), strict=True)}
    assert b"AWS4-HMAC" not in b"".join(said.values()), "a signed request could be sent again"
    return said


def shown_by_the_ui(stack: Running) -> dict[str, bytes]:
    answer = stack.graphql(ASKED_OF_UI)
    assert len(answer["runsOrError"]["results"]) >= 8
    assert answer["sensorsOrError"]["results"]
    return {"UI": json.dumps(answer, ensure_ascii=False).encode()}


def tables(stack: Running) -> dict[str, bytes]:
    """Every table of the database, without the columns of orders."""
    query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    found = {}
    for each in stack.database.all(query):
        schema, name = each["schemaname"], each["tablename"]
        hidden = ORDERS.get(name, ()) if schema == "public" else ()
        rows = stack.database.all(f'SELECT * FROM "{schema}"."{name}"')
        found[f"table {schema}.{name}"] = as_bytes(
            {column: value for column, value in row.items() if column not in hidden} for row in rows
        )
    assert {"table public.ingest_jobs", "table dagster.event_logs", "table broker.kombu_message"} <= set(found)
    return found


def orders(stack: Running) -> dict[str, bytes]:
    """The columns that were left out of `tables`."""
    return {
        f"column {table}.{column}": as_bytes(stack.database.all(f"SELECT {column} FROM {table}"))
        for table, columns in ORDERS.items()
        for column in columns
    }


def objects(stack: Running) -> dict[str, bytes]:
    """Every object of both buckets, its name and its metadata."""
    found = {}
    for bucket in (stack.settings.s3_bucket, stack.settings.s3_upload_bucket):
        for each in stack.s3.list_objects_v2(Bucket=bucket)["Contents"]:
            answer = stack.s3.get_object(Bucket=bucket, Key=each["Key"])
            about = json.dumps({**answer["Metadata"], **answer["ResponseMetadata"]["HTTPHeaders"]}).encode()
            found[f"object s3://{bucket}/{each['Key']}"] = each["Key"].encode() + about + answer["Body"].read()
    return found


def files(home: Path) -> dict[str, bytes]:
    """Every file of the home but for the credentials, after all has stopped."""
    paths = {str(path.relative_to(home)): path for path in home.rglob("*") if path.is_file()}
    assert {"logs/worker.log", "logs/postgres.log", "logs/s3.log"} <= set(paths)
    return {f"file {name}": path.read_bytes() for name, path in paths.items() if not name.startswith(CREDENTIALS)}
