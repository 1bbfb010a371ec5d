"""The entry point: the commands, and what becomes of errors.

Exit codes: 0 done; 1 the job failed; 2 wrong usage or something that the user must mend, told in one sentence on
standard error; 130 interrupted.
"""

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import psycopg
import pydantic
import typer
from pydantic_settings import SettingsError

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.change import cancel, retry
from narralytica_ingest.cli.correct import correct
from narralytica_ingest.cli.delete import delete
from narralytica_ingest.cli.doctor import doctor
from narralytica_ingest.cli.get import get
from narralytica_ingest.cli.hosts import app as hosts
from narralytica_ingest.cli.look import jobs, show
from narralytica_ingest.cli.setup import env, migrate
from narralytica_ingest.cli.submit import submit
from narralytica_ingest.cli.up import up
from narralytica_ingest.cli.verify import verify
from narralytica_ingest.failures import IngestError
from narralytica_ingest.local.stack import interruptible

log = logging.getLogger(__name__)

PROGRAM = "narralytica-ingest"

# What these say at DEBUG has headers of requests in it, which are signed, or hold a session's token.
_SAY_TOO_MUCH = ("boto3", "botocore", "s3transfer", "urllib3")

app = typer.Typer(
    name=PROGRAM,
    help="Turn references to videos into stored originals, audio tracks and metadata.",
    epilog=f"Begin with `{PROGRAM} up --sample`. All state is under NARRALYTICA_HOME (.narralytica).",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(command: Callable[..., None], example: str) -> None:
    app.command(epilog=f"Example: {example}")(command)


_add(up, "narralytica-ingest up --submit talk.mp4 --exit-when-done")
_add(submit, "narralytica-ingest submit https://example.com/talk.mp4 --title 'A talk' --wait")
_add(jobs, "narralytica-ingest jobs --status failed --limit 50")
_add(show, "narralytica-ingest show youtube-dQw4w9WgXcQ --json")
_add(get, "narralytica-ingest get youtube-dQw4w9WgXcQ audio_track -o talk.flac")
_add(retry, "narralytica-ingest retry 6f9c2f6e-1d0b-4a53-9d5c-0a4f4d0f3c11")
_add(cancel, "narralytica-ingest cancel 6f9c2f6e-1d0b-4a53-9d5c-0a4f4d0f3c11 --wait")
_add(correct, "narralytica-ingest correct youtube-dQw4w9WgXcQ title='A talk' language=en --drop channel")
_add(delete, "narralytica-ingest delete youtube-dQw4w9WgXcQ")
_add(verify, "narralytica-ingest verify --deep --mend")
app.add_typer(hosts)
_add(doctor, "narralytica-ingest doctor")
_add(env, 'eval "$(narralytica-ingest env)" && psql "$DATABASE_URL"')
_add(migrate, "narralytica-ingest migrate")


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Log everything, and tell where errors come from.")
    ] = False,
) -> None:
    if debug:
        logging.basicConfig(level=logging.DEBUG, force=True)
        for name in _SAY_TOO_MUCH:
            logging.getLogger(name).setLevel(logging.INFO)
    if version:
        from importlib.metadata import version as installed

        print(installed(PROGRAM))
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Runs the command line and exits."""
    # What modules log is for workers; here it appears only with --debug.
    logging.getLogger().addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code. No exception leaves but SystemExit; --debug shows what it was."""
    command: Any = typer.main.get_command(app)
    try:
        with interruptible():
            code = command(list(arguments), prog_name=PROGRAM, standalone_mode=False)
            return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        log.debug("the command failed", exc_info=error)
        terminal.say(f"Error: {explain(error)}", "red")
        return 2


def explain(error: Exception) -> str:
    """The one sentence about an error."""
    match error:
        case IngestError():
            return error.message
        case typer.TyperException():
            return _usage(error)
        case pydantic.ValidationError():
            return "; ".join(_setting(each) for each in error.errors())
        case SettingsError():
            return _not_json(error)
        case psycopg.Error():
            return f"Postgres refused: {_first_line(error)}."
        case OSError() if error.strerror:
            return f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."
    return f"Unexpected {type(error).__name__}: {_first_line(error)} (`{PROGRAM} --debug …` shows where it comes from)."


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else PROGRAM
    said = error.format_message().replace("Value error, ", "").rstrip(".")
    return f"{said} (see `{command} --help`)."


def _setting(error: Any) -> str:
    setting, *inside = (str(part) for part in error["loc"])
    where = f" ({', '.join(inside)})" if inside else ""
    return f"NARRALYTICA_{setting.upper()}{where}: {error['msg'].replace('Value error, ', '')}."


def _not_json(error: SettingsError) -> str:
    """A setting that holds several values is JSON. (The message names its field; the value may be a secret.)"""
    found = re.search(r'field "(\w+)"', str(error))
    return f"NARRALYTICA_{found[1].upper() if found else '…'}: this is no valid JSON; the README shows its form."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
