"""`correct`: what a person states better than the source, and how that is taken back."""

import getpass
from typing import Annotated, Any

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.references import checked
from narralytica_ingest.cli.services import tables
from narralytica_ingest.cli.terminal import clean
from narralytica_ingest.config import load_settings
from narralytica_ingest.failures import failure
from narralytica_ingest.metadata.corrections import correctable, parse
from narralytica_ingest.store import deletion, metadata_rows
from narralytica_ingest.store.database import Connection, Database


def correct(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="Its id, another name of it, or a job of it.", show_default=False)
    ],
    corrections: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="What is right; FIELD= means: unknown.", show_default=False),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Serve again what the source says; may be repeated.", show_default=False),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who corrects; default: the login name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Correct fields of a video's metadata, at once and for good: no later reading of its source undoes that.

    Without a field it lists what was corrected.
    """
    settings = load_settings()
    values = parse([checked(each, "FIELD=VALUE") for each in corrections or []])
    dropped = [correctable(field).name for field in drop or []]
    if twice := sorted(values.keys() & set(dropped)):
        raise failure("invalid_correction", f"{twice[0]} is corrected and dropped at once: do one of the two.")
    with tables(settings) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        video_id = _find(connection, video)
        if values:
            metadata_rows.correct(connection, video_id, values, checked(by or getpass.getuser(), "NAME"))
        gone = metadata_rows.drop_corrections(connection, video_id, dropped)
        found = metadata_rows.corrections(connection, video_id)
        row = next(iter(metadata_rows.served(connection, [video_id])), None)
    if as_json:
        terminal.print_json({"video_id": video_id, "corrections": found, "metadata": row})
        return
    for field in dropped:
        again = f"is again {_value(row[field])}" if row else "is what will be read"
        _print(f"{field} {again}." if field in gone else f"{field} was not corrected.")
    for each in found:
        if each["field"] in values or not (values or dropped):
            _print(f"{each['field']} is {_value(each['value'])}, by {each['by']} {terminal.distance(each['at'])}.")
    if not found and not dropped:
        terminal.say(f"Nothing of {video_id} was corrected.")


def _find(connection: Connection, name: str) -> str:
    video_id = deletion.find(connection, name) if name.isprintable() else None
    if video_id is None:
        raise failure(
            "no_such_job_or_video", f"There is no video {clean(name)}: `narralytica-ingest jobs` lists what there is."
        )
    return video_id


def _value(value: Any) -> str:
    return "unknown" if value is None else f"“{clean(str(value))}”"


def _print(sentence: str) -> None:
    terminal.out().print(terminal.text(sentence), soft_wrap=True)
