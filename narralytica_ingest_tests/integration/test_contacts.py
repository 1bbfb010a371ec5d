"""Whom a run contacted is noted by the run that holds the lease alone, and goes with its video or after its time."""

import json
from dataclasses import dataclass
from uuid import UUID

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.sensors.upkeep import upkeep
from narralytica_ingest.store import contacts, deletion, leases
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.leases import Lease, LeaseLost
from narralytica_ingest_tests.in_process import command_line
from narralytica_ingest_tests.job_table import start, submit


@dataclass(frozen=True)
class Met:
    host: str
    port: int = 443
    connections: int = 1
    bytes_received: int = 0
    refused: str | None = None


CDN = Met("cdn.example", 443, 4, 12_300_000)
INSIDE = Met("10.0.0.5", 80, 0, 0, "blocked_address")


def at_work(database: Database, name: str = "v", run_id: str = "run-1") -> tuple[UUID, Lease]:
    with database.transaction() as connection:
        submit(connection, name)
        claimed, lease = start(connection, run_id, window=100)
    return claimed.job_id, lease


def known(database: Database, video_id: str = "web-v") -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        rows = contacts.of_video(connection, video_id)
    return [(row["host"], row["port"], row["connections"], row["bytes_received"], row["refused"]) for row in rows]


def test_each_host_is_told_once_with_what_came_from_it_or_why_it_was_refused(database: Database) -> None:
    job_id, lease = at_work(database)
    for _ in range(2):  # a commit whose answer got lost is repeated
        with database.transaction() as connection:
            contacts.record(connection, lease, "run-1", job_id, [INSIDE, CDN, Met("cdn.example", 443, 1, 700)])
    assert known(database) == [("cdn.example", 443, 5, 12_300_700, None), ("10.0.0.5", 80, 0, 0, "blocked_address")]
    assert {row["job_id"] for row in database.all("SELECT job_id FROM hosts_contacted")} == {job_id}


def test_a_run_without_a_job_and_one_whose_job_is_gone_are_told_too(database: Database) -> None:
    _, lease = at_work(database)
    with database.transaction() as connection:
        contacts.record(connection, lease, "run-1", None, [CDN])
        contacts.record(connection, lease, "run-1", UUID(int=7), [INSIDE])
    assert [row["job_id"] for row in database.all("SELECT job_id FROM hosts_contacted")] == [None, None]


def test_a_run_that_lost_its_lease_notes_nothing(database: Database) -> None:
    job_id, lease = at_work(database)
    with database.transaction() as connection:
        leases.release(connection, [lease])
    with pytest.raises(LeaseLost), database.transaction() as connection:
        contacts.record(connection, lease, "run-1", job_id, [CDN])
    assert known(database) == []


def test_of_many_hosts_those_that_were_refused_and_those_that_sent_most_are_kept(database: Database) -> None:
    job_id, lease = at_work(database)
    many = [Met(f"host-{number}", 443, 1, number) for number in range(500)]
    with database.transaction() as connection:
        contacts.record(connection, lease, "run-1", job_id, [*many, INSIDE])
    kept = known(database)
    assert len(kept) == contacts.MOST_ROWS
    assert (kept[0][0], kept[-1][0]) == ("host-499", "10.0.0.5")


def test_names_that_no_table_takes_do_no_harm(database: Database) -> None:
    job_id, lease = at_work(database)
    hostile = [Met("\x00\ud800'; --" + "x" * 1000, 99_999, 2**40, 2**40, "blocked_host\x00" * 100), Met("", -1)]
    with database.transaction() as connection:
        contacts.record(connection, lease, "run-1", job_id, hostile)
    assert [(row[0], row[1]) for row in known(database)] == [("", 0), ("'; --" + "x" * 250, 65535)]


def test_contacts_go_with_their_video_and_after_their_time(database: Database) -> None:
    for name in ("a", "b"):
        job_id, lease = at_work(database, name, f"run-{name}")
        with database.transaction() as connection:
            contacts.record(connection, lease, f"run-{name}", job_id, [CDN, INSIDE])
    with database.transaction() as connection:
        deletion.delete_rows(connection, "web-a")
    assert (known(database, "web-a"), len(known(database, "web-b"))) == ([], 2)
    with database.transaction() as connection:
        connection.execute("UPDATE hosts_contacted SET last_at = now() - interval '91 days' WHERE host = '10.0.0.5'")
        assert contacts.forget_old(connection) == 1
    assert [row[0] for row in known(database, "web-b")] == ["cdn.example"]


def test_a_person_who_looks_at_the_job_or_the_video_sees_whom_it_contacted(
    settings: Settings, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, lease = at_work(database)
    hostile = Met("evil\x1b[31m.example", 80, 0, 0, "blocked_host")
    many = [Met(f"host-{number}", bytes_received=number) for number in range(9)]
    with database.transaction() as connection:
        contacts.record(connection, lease, "run-0", None, many)
        connection.execute("UPDATE hosts_contacted SET last_at = now() - interval '1 day'")
        contacts.record(connection, lease, "run-1", job_id, [CDN, Met("::1", 80, 1, 5), INSIDE, hostile])
    with command_line(capsys) as cli:
        for name in (str(job_id), "web-v"):
            said = cli("show", name).out
            assert "contacted   cdn.example:443 12.3 MB in 4 connections; [::1]:80 5 bytes in 1 connection\n" in said
            assert "refused     10.0.0.5:80 blocked_address; evil\\x1b[31m.example:80 blocked_host\n" in said
        told = json.loads(cli("show", "web-v", "--json").out)["contacts"]
        assert [each["host"] for each in told[:2]] == ["cdn.example", "::1"]
        assert len(told) == 4 + len(many)
        database.all("DELETE FROM hosts_contacted WHERE run_id = 'run-1' RETURNING 1")
        assert "host-1:443 1 byte in 1 connection; and 1 more\n" in cli("show", "web-v").out


def test_upkeep_forgets_what_is_old(settings: Settings, database: Database) -> None:
    job_id, lease = at_work(database)
    with database.transaction() as connection:
        contacts.record(connection, lease, "run-1", job_id, [CDN, INSIDE])
        connection.execute("UPDATE hosts_contacted SET last_at = now() - interval '91 days' WHERE host = '10.0.0.5'")
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance=instance) as context:
        upkeep(context)
    assert [row[0] for row in known(database)] == ["cdn.example"]
