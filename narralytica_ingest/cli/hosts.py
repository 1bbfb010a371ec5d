"""`hosts`: how each source host fares, and `hosts reset`, which ends its cool-down."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.describe import clock
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.services import tables
from narralytica_ingest.cli.terminal import text
from narralytica_ingest.config import HostRule, load_settings
from narralytica_ingest.store import breaker
from narralytica_ingest.store.database import Database, Row
from narralytica_ingest.store.hosts import Host, HostRules, HostState, as_host, host_rules, look

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {HostState.OPEN: "green", HostState.COOLING: "yellow", HostState.TRYING_ONE: "cyan"}

app = typer.Typer(
    name="hosts",
    help="List the source hosts with unfinished jobs, those that cool down, and the rule for each.",
    epilog="Example: narralytica-ingest hosts reset www.example.com",
)


@app.callback(invoke_without_command=True)
def hosts(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the source hosts with unfinished jobs, those that cool down, and the rule for each."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    rules = host_rules(settings)
    with tables(settings) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        found = [host for host in look(connection) if _matters(host)]
    if as_json:
        terminal.print_json([_as_json(host, rules) for host in found])
    elif found:
        terminal.out().print(_table(found, rules))
    else:
        terminal.say("No host has unfinished jobs, and none cools down.")


@app.command(epilog="Example: narralytica-ingest hosts reset www.example.com")
def reset(
    host: Annotated[str | None, typer.Argument(metavar="[HOST]", help="As listed by `hosts`.")] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="Every host.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End a host's cool-down and the suspicion against it: all its jobs may go at once."""
    if (host is None) != every or host == "":
        raise typer.BadParameter("name one host, or give --all for every one.")
    settings = load_settings()
    with tables(settings) as endpoints, Database(endpoints.postgres_url).transaction() as connection:
        if host is not None and not host.isprintable():  # Postgres takes neither NUL nor broken UTF-8
            raise breaker.host_without_jobs(terminal.clean(host))
        changed = breaker.reset(connection, None if host is None else as_host(host))
    if as_json:
        terminal.print_json(changed)
    for row in [] if as_json else changed:
        terminal.out().print(text(f"{row['host']} is open again: {_before(row)}."), soft_wrap=True)
    if not (changed or as_json):
        terminal.say(f"{terminal.clean(host)} is open already." if host else "All hosts are open already.")


def _before(row: Row) -> str:
    refusals = f"{row['refusals']} refusal{'' if row['refusals'] == 1 else 's'} ({row['error_code']})"
    return f"{refusals} forgotten" + (
        f", its cool-down until {clock(row['cool_until'])} ended" if row["cooled"] else ""
    )


def _matters(host: Host) -> bool:
    return bool(host.queued or host.in_flight or host.state is not HostState.OPEN)


def _as_json(host: Host, rules: HostRules) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(host).items() if name not in ("cools", "idle_seconds")}
    rule = rules.of(host.host) if host.host else HostRule()
    return facts | {"state": host.state.value, "rule": rule.model_dump()}


def _table(found: Sequence[Host], rules: HostRules) -> "Table":
    """One host each: its jobs, its state, and below that what it said and the rule in force."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("HOST", overflow="fold")
    for name in ("QUEUED", "AT WORK"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("STATE", no_wrap=True)
    for host in found:
        lines = [text(_state(host), _STYLES[host.state])]
        if host.refusals:
            lines.append(text(f"{host.error_code}, {_refusals(host.refusals)}"))
        if rule := _rule(rules.of(host.host)) if host.host else "":
            lines.append(text(rule, "dim"))
        numbers = [str(number) if number else "-" for number in (host.queued, host.in_flight)]
        table.add_row(text(host.host or "(uploads)"), *numbers, Text("\n").join(lines))
    return table


def _state(host: Host) -> str:
    match host.state:
        case HostState.COOLING if host.cool_until is not None:
            return f"cooling until {clock(host.cool_until)}"
        case HostState.TRYING_ONE:
            return "trying one"
    return "open"


def _rule(rule: HostRule) -> str:
    parts = [
        f"{rule.concurrency} at once" if rule.concurrency is not None else None,
        f"{rule.pause_seconds:g} s apart" if rule.pause_seconds else None,
    ]
    return ", ".join(part for part in parts if part)


def _refusals(number: int) -> str:
    return f"{number} refusal{'' if number == 1 else 's'}"
