"""Whom a run contacted, in words: `cdn.example:443 12.3 MB in 4 connections`."""

from collections.abc import Iterator, Sequence
from typing import Any

from narralytica_ingest.cli.terminal import size
from narralytica_ingest.store.database import Row

# A page that leads to hundreds of hosts is not told to the end; `--json` has them all.
NAMED = 8


def contact_facts(contacts: Sequence[Row]) -> Iterator[tuple[str, Any, str]]:
    """The lines about the run that was the last to contact anybody: whom it contacted, and what it was kept from."""
    last = [each for each in contacts if each["run_id"] == contacts[0]["run_id"]]
    met = [_met(each) for each in last if each["refused"] is None]
    yield "contacted", _listed(met), ""
    yield "refused", _listed([f"{_where(each)} {each['refused']}" for each in last if each["refused"]]), "red"


def _listed(said: list[str]) -> str:
    more = f"; and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return "; ".join(said[:NAMED]) + more


def _met(contact: Row) -> str:
    count = contact["connections"]
    return f"{_where(contact)} {size(contact['bytes_received'])} in {count} connection{'' if count == 1 else 's'}"


def _where(contact: Row) -> str:
    host = f"[{contact['host']}]" if ":" in contact["host"] else contact["host"]
    return f"{host}:{contact['port']}"
