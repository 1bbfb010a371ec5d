"""`doctor`: tries each real part, and says how to mend what does not work."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.checks import TOOL_SECONDS, Broken, Check, run_program
from narralytica_ingest.cli.doctor_sources import source_checks
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.services import up_is_running
from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.failures import IngestError
from narralytica_ingest.local.services import hold
from narralytica_ingest.media import sandbox
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.redaction import shown_url
from narralytica_ingest.store import pauses
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.schema import newest_version, version_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ENOUGH_DISK = 2_000_000_000  # bytes


def doctor(as_json: JsonOption = False) -> None:
    """Check each real part by using it: Postgres, S3, ffmpeg, access to sources, disk. Exit 1 if one is bad."""
    settings = load_settings()
    found = []
    for name, look in _checks(settings):
        found.append(_check(name, look))
        if not as_json:
            _print(found[-1])
    good = all(check.ok for check in found)
    if as_json:
        terminal.print_json({"ok": good, "checks": [asdict(check) for check in found]})
    if not good:
        raise typer.Exit(1)


def _checks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "Postgres", lambda: _postgres(settings)
    yield "S3", lambda: _s3(settings)
    yield "broker", lambda: _broker(settings)
    yield "ffmpeg", lambda: _ffmpeg(_tools(settings))
    yield "ffprobe", lambda: _ffprobe(_tools(settings))
    yield "sandbox", lambda: _sandbox(_tools(settings), settings.sandbox)
    yield "yt-dlp", lambda: f"{version('yt-dlp')}, with yt-dlp-ejs {version('yt-dlp-ejs')}"
    yield from source_checks(settings)
    yield "disk", lambda: _disk(settings.home, max(_ENOUGH_DISK, settings.keep_free_bytes))
    yield "claims", lambda: _claims(settings)
    yield "up", lambda: "is running" if up_is_running(settings.home) else "is not running (nothing is wrong with that)"


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Broken as broken:
        return Check(name, False, broken.detail, broken.mend)
    except IngestError as error:
        return Check(name, False, error.code.replace("_", " "), error.message)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, False, f"{type(error).__name__}: {reason}", "Make the environment again: `make setup`.")


def _print(check: Check) -> None:
    from rich.text import Text

    console = terminal.out()
    mark = ("ok  ", "green") if check.ok else ("BAD ", "bold red")
    console.print(Text.assemble(mark, (f"{check.name:<11} ", "bold"), terminal.text(check.detail)), soft_wrap=True)
    if check.mend:
        console.print(Text.assemble("    to mend it: ", terminal.text(check.mend)), soft_wrap=True)


def _broker(settings: Settings) -> str:
    if settings.broker_url is None:
        return "the Postgres above"
    from narralytica_ingest.engine.broker import require_broker

    require_broker(settings.broker_url.get_secret_value())
    return "given, and answers"


def _postgres(settings: Settings) -> str:
    with hold(settings, s3=False) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        row = connection.execute("SELECT current_setting('server_version') AS version").fetchone()
        schema = version_of(connection)
    assert row is not None
    said = f"{row['version']}, {'embedded' if settings.postgres_url is None else 'given'}"
    newest = newest_version()
    if schema == newest:
        return f"{said}, tables of version {schema}"
    if schema is None and settings.postgres_url is None:
        return f"{said}, no tables yet: `up` makes them"
    if schema is not None and schema > newest:
        raise Broken(f"{said}, tables of version {schema}, newer than this program's {newest}", "Update this program.")
    raise Broken(f"{said}, tables of version {schema}, {newest} is needed", "Run `narralytica-ingest migrate`.")


def _claims(settings: Settings) -> str:
    with hold(settings, s3=False) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        paused = pauses.look(connection) if version_of(connection) == newest_version() else []
    for pause in paused:
        raise Broken(f"{pause.state}: {pause.error_message}", pause.sentence)
    return "not paused"


def _s3(settings: Settings) -> str:
    from narralytica_ingest.object_store.capabilities import capabilities
    from narralytica_ingest.object_store.client import make_client

    with hold(settings, postgres=False) as endpoints:
        client = make_client(endpoints.s3)
        for bucket, name in ((settings.s3_bucket, "S3_BUCKET"), (settings.s3_upload_bucket, "S3_UPLOAD_BUCKET")):
            _bucket_works(client, bucket, f"NARRALYTICA_{name}")
        able = capabilities(client, settings.s3_bucket)
    where = "embedded" if settings.s3_endpoint_url is None else shown_url(settings.s3_endpoint_url)
    return f"{where}: writes, reads, deletes (both buckets); {able}"


def _bucket_works(client: "S3Client", bucket: str, setting: str) -> None:
    from narralytica_ingest.object_store.client import explained

    key, body = f"doctor/{uuid4()}", b"narralytica"
    try:
        with explained(f"bucket {bucket}"):
            client.head_bucket(Bucket=bucket)  # some servers make a missing bucket at the first write
            client.put_object(Bucket=bucket, Key=key, Body=body)
            if client.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
                raise Broken(f"{bucket} gave back other bytes than were written", "Repair or replace the S3 server.")
            client.delete_object(Bucket=bucket, Key=key)
    except IngestError as error:
        if error.code == "object_missing":
            raise Broken(f"there is no bucket {bucket}", f"Create it, or set {setting} to one that exists.") from error
        mend = "Check NARRALYTICA_S3_ENDPOINT_URL, NARRALYTICA_S3_ACCESS_KEY_ID and NARRALYTICA_S3_SECRET_ACCESS_KEY."
        raise Broken(error.message, mend) from error


def _tools(settings: Settings) -> MediaTools:
    return find_tools(settings.ffmpeg, settings.ffprobe, TOOL_SECONDS)


def _ffmpeg(tools: MediaTools) -> str:
    with tempfile.TemporaryDirectory() as folder:
        track = Path(folder) / "tone.flac"
        tone = ["-f", "lavfi", "-i", "sine=duration=0.1:sample_rate=48000"]
        command: list[str | Path] = [
            tools.ffmpeg,
            "-nostdin",
            "-v",
            "error",
            *tone,
            "-ar",
            "16000",
            "-sample_fmt",
            "s16",
            track,
        ]
        run_program(command, _mend_tool("ffmpeg"))
        if track.read_bytes()[:4] != b"fLaC":
            raise Broken(f"{tools.ffmpeg} wrote no FLAC", _mend_tool("ffmpeg"))
    return f"{_tool_version(tools.ffmpeg, 'ffmpeg')}, encodes FLAC ({tools.ffmpeg})"


def _ffprobe(tools: MediaTools) -> str:
    return f"{_tool_version(tools.ffprobe, 'ffprobe')} ({tools.ffprobe})"


def _sandbox(tools: MediaTools, mode: sandbox.Mode) -> str:
    if mode == "off":
        return "off (NARRALYTICA_SANDBOX)"
    lacks = [f"{tool.name}: {why}" for tool in (tools.ffmpeg, tools.ffprobe) if (why := sandbox.missing(tool))]
    if lacks and mode == "required":
        mend = "Use a Linux kernel with Landlock and the bundled ffmpeg, or set NARRALYTICA_SANDBOX to `auto`."
        raise Broken("; ".join(lacks), mend)
    return f"none, within limits all the same: {'; '.join(lacks)}" if lacks else sandbox.described()


def _tool_version(tool: Path, name: str) -> str:
    words = run_program([tool, "-version"], _mend_tool(name)).split()
    return words[2] if len(words) > 2 else "unknown version"


def _mend_tool(name: str) -> str:
    return f"Install a complete {name}, or set NARRALYTICA_{name.upper()} to the path of one."


def _disk(home: Path, enough: int) -> str:
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    said = f"{terminal.size(free)} free under {home}"
    if free < enough:
        raise Broken(
            said,
            f"Free some space (downloads wait below {terminal.size(enough)}, NARRALYTICA_KEEP_FREE_BYTES), or set "
            "NARRALYTICA_HOME to a larger disk.",
        )
    return said
