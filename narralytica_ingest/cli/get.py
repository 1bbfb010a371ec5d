"""`get`: a stored object back as a file."""

import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.bars import byte_bar
from narralytica_ingest.cli.look import find
from narralytica_ingest.cli.services import tables
from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import S3Endpoint
from narralytica_ingest.failures import failure
from narralytica_ingest.store.database import Row

_BLOCK = 1 << 20


class Origin(StrEnum):
    """Who made captions."""

    UPLOADED = "uploaded"
    AUTOMATIC = "automatic"


class Kind(StrEnum):
    """The kinds of stored objects."""

    RAW_VIDEO = "raw_video"
    AUDIO_TRACK = "audio_track"
    THUMBNAIL = "thumbnail"
    CAPTIONS = "captions"
    SOURCE_INFO = "source_info"


def get(
    video: Annotated[str, typer.Argument(help="A video's id, or that of a job of it.", show_default=False)],
    kind: Annotated[Kind, typer.Argument(help="Which of its objects.", show_default=False)],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; `-` is standard output.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Which one, if there are several languages.")
    ] = None,
    origin: Annotated[
        Origin | None,
        typer.Option(
            metavar="NAME", help="Captions that people made (uploaded, first choice) or the source (automatic)."
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which audio track: flac (first choice), wav, opus, …")
    ] = None,
) -> None:
    """Fetch a stored object. The file appears only when it is complete and its SHA-256 is right."""
    if output == "-" and sys.stdout.isatty():
        raise failure("binary_to_terminal", "This would fill the terminal with bytes: give -o FILE, or a pipe.")
    with tables(load_settings(), s3=True) as endpoints:
        record = find(endpoints, video)
        file = choose(record["media_files"], video, kind.value, language, origin, profile)
        if output == "-":
            _fetch(endpoints.s3, file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        target = _target(file, output)
        with _complete(target) as sink:
            _fetch(endpoints.s3, file, sink)
    terminal.say(f"{target}: {terminal.size(file['size_bytes'])}, sha256 {file['sha256']}")


def choose(
    files: Sequence[Row],
    video: str,
    kind: str,
    language: str | None,
    origin: str | None = None,
    profile: str | None = None,
) -> Row:
    """The one file that is meant: of captions in one language those that people made, of audio tracks the FLAC, unless
    `origin` and `profile` say otherwise.

    Raises IngestError `not_stored` or `several_languages`, naming what there is.
    """
    of_kind = [file for file in files if file["kind"] == kind]
    wishes = {"language": language, "origin": origin, "profile": profile}
    found = [file for file in of_kind if all(wish in (None, file[name]) for name, wish in wishes.items())]
    languages = sorted({str(file["language"]) for file in found})
    if len(languages) == 1:
        return max(found, key=lambda file: (file["origin"] == Origin.UPLOADED, file["profile"] == "flac"))
    if found:
        raise failure("several_languages", f"There are several ({', '.join(languages)}): choose one with --language.")
    wanted = " ".join(filter(None, [origin, profile, kind, f"in {terminal.clean(language)}" if language else None]))
    there = ", ".join(sorted({str(file["kind"]) for file in files})) or "nothing yet"
    raise failure("not_stored", f"{terminal.clean(video)} has no {wanted}; stored: {there}.")


def _target(file: Row, output: str | None) -> Path:
    if output is None:
        profile = None if file["profile"] == "flac" else file["profile"]
        parts = [file["video_id"], file["kind"], file["language"], file["origin"], profile]
        # A source may call a language anything.
        name = "-".join(re.sub(r"[^\w.-]", "_", part) for part in parts if part)
        return Path(name + PurePosixPath(file["object_key"]).suffix)
    target = Path(output).expanduser().resolve()
    if target.is_dir() or not target.parent.is_dir():
        raise failure("bad_output", f"{output} cannot be written: give a file in a folder that exists.")
    return target


@contextmanager
def _complete(target: Path) -> Iterator[BinaryIO]:
    """A temporary file, which becomes `target` only if the block ends well. A device is written as it is."""
    if target.exists() and not target.is_file():
        with target.open("wb") as sink:
            yield sink
        return
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as sink:
            yield sink
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _fetch(endpoint: S3Endpoint, file: Row, sink: BinaryIO) -> None:
    """Streams the object to `sink`. Raises IngestError `stored_object_differs` if the bytes are not those stored."""
    digest = hashlib.sha256()
    with byte_bar(file["kind"], file["size_bytes"]) as bar:
        for block in _blocks(endpoint, file):
            digest.update(block)
            sink.write(block)
            bar.advance(len(block))
    if digest.hexdigest() != file["sha256"]:
        message = "The object does not have the SHA-256 that it was stored with: `retry --force` its job."
        raise failure("stored_object_differs", message)


def _blocks(endpoint: S3Endpoint, file: Row) -> Iterator[bytes]:
    from narralytica_ingest.object_store.client import explained, make_client

    with explained(f"reading s3://{file['bucket']}/{file['object_key']}"):
        body = make_client(endpoint).get_object(Bucket=file["bucket"], Key=file["object_key"])["Body"]
        yield from body.iter_chunks(_BLOCK)
