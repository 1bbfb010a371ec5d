"""A playlist's job becomes one job for each video: once, whoever lists it, and told truthfully. On a real Postgres."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from psycopg.types.json import Jsonb

from narralytica_ingest.assets.raw_video import raw_video
from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.intake import Intake
from narralytica_ingest.partitions import videos as video_partitions
from narralytica_ingest.resources.fetch_options import fetch_options
from narralytica_ingest.resources.fetcher import Fetcher, IsPlaylist
from narralytica_ingest.sources.fetching import ListedVideo, Listing
from narralytica_ingest.store import aliases, dispatch, jobs, leases, playlists
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import VideoKey
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost
from narralytica_ingest.store.playlists import Child
from narralytica_ingest_tests.job_table import commit_all, job, key, start, submit

THREE = [Child(f"http://host-{name}/clip.mp4", f"web-{name}", f"Part {name}") for name in ("a", "b", "c")]


def children_of(connection: Connection, parent: UUID) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT * FROM ingest_jobs WHERE parent_job_id = %s ORDER BY created_at", (parent,)
    ).fetchall()


def start_one(connection: Connection, name: str, run_id: str) -> Lease:
    """Begins the run of the queued job of this video."""
    claimed = next(each for each in dispatch.claim(connection, 100) if each.video_id == f"web-{name}")
    lease = leases.take(connection, run_id, [claimed.video_id], 60)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return lease


def identify(connection: Connection, parent: UUID) -> None:
    """Gives the parent's children their videos, as intake does it."""
    for each in children_of(connection, parent):
        name = each["source_url"].removeprefix("http://host-").split("/")[0]
        dispatch.attach(connection, each["job_id"], key(name))


def expanded(connection: Connection, children: list[Child] = THREE, **wishes: Any) -> UUID:
    parent = submit(connection, "list", **wishes)
    lease = start_one(connection, "list", "run-list")
    assert playlists.expand(connection, lease, "A list", children, more=False) == len(children)
    identify(connection, parent)
    return parent


# ---- expanding ------------------------------------------------------------------------------------------------------


def test_a_playlist_becomes_one_queued_job_for_each_video_with_the_parents_wishes(database: Database) -> None:
    wishes = {"force": True, "max_height": 720, "playlist_limit": 3}
    with database.transaction() as connection:
        parent = submit(connection, "list", priority=7, channel="The channel", language="de", title="Not theirs")
        connection.execute(
            "UPDATE ingest_jobs SET max_attempts = 9, options = %s", (Jsonb({**wishes, "format": "best"}),)
        )
        lease = start_one(connection, "list", "run-1")
        assert playlists.expand(connection, lease, "A list", THREE, more=True, skipped=2) == 3
        row, children = job(connection, parent), children_of(connection, parent)
        assert connection.execute("SELECT FROM videos").fetchall() == [], "what was taken for a video is gone"
    assert (row["status"], row["outcome"], row["video_id"]) == ("succeeded", "expanded", None)
    assert row["playlist"] == {"title": "A list", "videos": 3, "more": True, "skipped": 2}
    assert [each["source_url"] for each in children] == [each.source_url for each in THREE]
    assert [each["title"] for each in children] == ["Part a", "Part b", "Part c"]
    for each in children:
        assert (each["status"], each["priority"], each["max_attempts"]) == ("queued", 7, 9)
        assert (each["channel"], each["language"]) == ("The channel", "de")
        assert each["options"] == {"force": True, "max_height": 720, "format": "best"}


def test_a_video_that_is_listed_twice_has_one_job(database: Database) -> None:
    again = Child("http://host-a/clip.mp4?again", "web-a")
    with database.transaction() as connection:
        parent = submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
        assert playlists.expand(connection, lease, None, [*THREE, again], more=False) == 3
        assert job(connection, parent)["playlist"]["videos"] == 3


def test_listing_again_adds_only_what_is_new_and_leaves_the_rest_alone(database: Database) -> None:
    with database.transaction() as connection:
        parent = expanded(connection, THREE[:2])
        before = children_of(connection, parent)
        jobs.cancel(connection, before[0]["job_id"])
        jobs.retry(connection, parent, force=True)
        assert job(connection, parent)["options"] == {}, "its new children are asked for as the old ones were"
        dispatch.attach(connection, parent, key("list"))
        lease = start_one(connection, "list", "run-2")
        assert playlists.expand(connection, lease, "Longer", THREE, more=False) == 1
        after = children_of(connection, parent)
    assert [each["job_id"] for each in after[:2]] == [each["job_id"] for each in before]
    assert after[0]["status"] == "canceled"
    assert after[2]["source_url"] == THREE[2].source_url


def test_a_crash_while_expanding_leaves_nothing_behind(database: Database) -> None:
    with database.transaction() as connection:
        parent = submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
    with pytest.raises(RuntimeError), database.transaction() as connection:
        playlists.expand(connection, lease, None, THREE, more=False)
        raise RuntimeError
    with database.transaction() as connection:
        assert job(connection, parent)["status"] == "running"
        assert children_of(connection, parent) == []
        assert playlists.expand(connection, lease, None, THREE, more=False) == 3


def test_a_run_that_lost_its_lease_expands_nothing(database: Database) -> None:
    with database.transaction() as connection:
        parent = submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
    stale = Lease(lease.video_id, lease.run_id, lease.epoch - 1, lease.generation)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        playlists.expand(connection, stale, None, THREE, more=False)
    with database.transaction() as connection:
        assert children_of(connection, parent) == []


def test_jobs_that_waited_for_the_same_playlist_list_it_for_themselves(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "list")
        waiting = submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
        playlists.expand(connection, lease, None, THREE, more=False)
        row = job(connection, waiting)
        assert (row["status"], row["video_id"]) == ("queued", None)
        assert [each.job_id for each in dispatch.unidentified(connection, 10) if each.job_id == waiting] == [waiting]


def test_two_playlists_with_the_same_videos_that_expand_at_once_have_jobs_of_their_own(database: Database) -> None:
    with database.transaction() as connection:
        parents = [submit(connection, name) for name in ("one", "two")]
        found = {each.video_id: each for each in dispatch.claim(connection, 100)}
        held = []
        for name in ("one", "two"):
            claimed = found[f"web-{name}"]
            lease = leases.take(connection, f"run-{name}", [claimed.video_id], 60)[claimed.video_id]
            assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
            held.append(lease)

    def expand(lease: Lease) -> int:
        with database.transaction() as connection:
            return playlists.expand(connection, lease, None, THREE, more=False)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(expand, held)) == [3, 3]
    with database.transaction() as connection:
        for parent in parents:
            identify(connection, parent)
        assert len(dispatch.claim(connection, 100)) == 3, "one job for each video at work, the others wait"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE ingest_jobs SET parent_job_id = (SELECT job_id FROM ingest_jobs LIMIT 1)", "nested_playlist"),
        ("UPDATE ingest_jobs SET cancel_requested = true", "canceled"),
        ("UPDATE ingest_jobs SET run_id = 'another'", "is_playlist"),
        ("UPDATE videos SET generation = 1, status = 'ready'", "is_playlist"),
    ],
)
def test_what_cannot_be_expanded_says_why_and_stays_as_it_is(database: Database, change: str, code: str) -> None:
    with database.transaction() as connection:
        submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
        connection.execute(change.encode())
    with pytest.raises(IngestError) as raised, database.transaction() as connection:
        playlists.expand(connection, lease, None, THREE, more=False)
    assert raised.value.code == code
    assert [len(database.all(f"SELECT FROM {table}")) for table in ("ingest_jobs", "videos")] == [1, 1]


def test_a_playlist_without_a_usable_video_fails_for_good(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "list")
        lease = start_one(connection, "list", "run-1")
        with pytest.raises(IngestError) as raised:
            playlists.expand(connection, lease, "Empty", [], more=False, skipped=3)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "no_video_found")


def test_a_child_whose_video_is_ready_is_answered_by_the_usual_look(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    with database.transaction() as connection:
        submit(connection, "known")
        _, lease = start(connection)
        commit_all(connection, lease)
        leases.release(connection, [lease])
        known = connection.execute("SELECT video_id, source_url FROM videos").fetchone()
        assert known is not None
        parent = submit(connection, "list")
        at_list = start_one(connection, "list", "run-2")
        playlists.expand(connection, at_list, None, [Child(known["source_url"], known["video_id"])], more=False)
        connection.execute("INSERT INTO video_aliases SELECT %s, %s", (_identity(known["source_url"]), "web-known"))
    Intake(settings, endpoints).admit()
    with database.transaction() as connection:
        assert [each["outcome"] for each in children_of(connection, parent)] == ["deduplicated"]


def _identity(url: str) -> str:
    from narralytica_ingest.sources.identity import identify_url

    return identify_url(url).video_id


# ---- watching, cancel and retry -------------------------------------------------------------------------------------


def test_the_parent_shows_how_its_children_fare(database: Database) -> None:
    with database.transaction() as connection:
        parent = expanded(connection)
        a, b, _ = (each["job_id"] for each in children_of(connection, parent))
        connection.execute(
            "UPDATE ingest_jobs SET status = 'succeeded', outcome = 'ingested', finished_at = now() WHERE job_id = %s",
            (a,),
        )
        connection.execute(
            "UPDATE ingest_jobs SET status = 'failed', finished_at = now(), error_class = 'permanent',"
            " error_code = 'removed', error_message = 'Gone.' WHERE job_id = %s",
            (b,),
        )
        record = jobs.record(connection, str(parent))
        listed = {row["job_id"]: row["children"] for row in jobs.recent(connection, None, 10)}
        assert [row["job_id"] for row in jobs.recent(connection, "failed", 10, parent)] == [b]
    assert record is not None
    counts = {"jobs": 3, "queued": 1, "running": 0, "succeeded": 1, "failed": 1, "canceled": 0}
    failures = record["children"].pop("failures")
    assert record["children"] == counts == listed[parent]
    assert listed[a] is None
    assert [(each["job_id"], each["error_code"], each["title"]) for each in failures] == [(b, "removed", "Part b")]


def test_cancel_and_retry_reach_the_children_that_they_concern_and_no_others(database: Database) -> None:
    with database.transaction() as connection:
        parent, stranger = expanded(connection), submit(connection, "stranger")
        a, b, c = (each["job_id"] for each in children_of(connection, parent))
        start_one(connection, "a", "run-a")
        connection.execute(
            "UPDATE ingest_jobs SET status = 'succeeded', outcome = 'ingested', finished_at = now() WHERE job_id = %s",
            (b,),
        )
        assert set(jobs.cancel_children(connection, parent)) == {a, c}
        assert (job(connection, a)["status"], job(connection, a)["cancel_requested"]) == ("running", True)
        assert job(connection, c)["status"] == "canceled"
        assert jobs.retry_children(connection, parent) == [c]
        assert job(connection, c)["status"] == "queued"
        assert not job(connection, c)["cancel_requested"]
        assert job(connection, stranger)["status"] == "dispatched"
        assert job(connection, b)["outcome"] == "ingested"


def test_the_runs_that_still_end_are_those_of_a_playlists_jobs_too(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
        connection.execute("CREATE TABLE dagster.runs (run_id varchar(255), status varchar(63))")
        parent = expanded(connection)
        for each, run_status in zip(children_of(connection, parent), ("STARTED", "SUCCESS", "STARTED"), strict=True):
            run_id = f"run-{each['title']}"
            connection.execute("INSERT INTO dagster.runs VALUES (%s, %s)", (run_id, run_status))
            connection.execute("UPDATE ingest_jobs SET run_id = %s WHERE job_id = %s", (run_id, each["job_id"]))
        connection.execute(
            "UPDATE ingest_jobs SET status = 'succeeded', outcome = 'ingested', finished_at = now()"
            " WHERE title IN ('Part a', 'Part b')"
        )
        assert jobs.unfinished_runs(connection, [parent]) == ["run-Part a"]


def test_canceling_a_playlist_while_its_videos_commit_ends_without_a_deadlock(database: Database) -> None:
    many = [Child(f"http://host-{number}/clip.mp4", f"web-{number}") for number in range(20)]
    with database.transaction() as connection:
        parent = expanded(connection, many)
        claimed = dispatch.claim(connection, 100)
        held = [leases.take(connection, f"run-{x.video_id}", [x.video_id], 60)[x.video_id] for x in claimed]
        for each, lease in zip(claimed, held, strict=True):
            assert leases.bind(connection, Dispatch(each.job_id, each.attempt), lease)

    def commit(lease: Lease) -> None:
        with database.transaction() as connection:
            commit_all(connection, lease)

    def cancel(_: Lease) -> None:
        with database.transaction() as connection:
            jobs.cancel_children(connection, parent)

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(work, lease) for lease in held for work in (commit, cancel)]
        for task in tasks:
            task.result()
    with database.transaction() as connection:
        assert {each["status"] for each in children_of(connection, parent)} == {"succeeded"}


# ---- the run --------------------------------------------------------------------------------------------------------


def listing(count: int = 2, more: bool = False) -> Listing:
    return Listing("A list", tuple(ListedVideo(f"http://host/{n}.mp4", f"Part {n}") for n in range(count)), more)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Listing]:
    """What extraction will say, instead of yt-dlp."""
    answers: list[Listing] = []
    monkeypatch.setattr("narralytica_ingest.sources.ytdlp.fetch_url", lambda *_, **__: answers[-1])
    return answers


def session_of(settings: Settings, database: Database, taken: Dispatch | None, name: str) -> RunSession:
    run = RunInfo(f"run-{name}", f"web-{name}", taken, False, lambda: False, lambda: None)
    return RunSession(settings, database, run, logging.getLogger("test"))


def test_a_run_that_finds_a_playlist_makes_its_jobs_and_skips_a_broken_entry(
    settings: Settings, database: Database, found: list[Listing]
) -> None:
    found.append(Listing("A list", (*listing().videos, ListedVideo("ftp://host/x", "broken")), True))
    with database.transaction() as connection:
        parent = submit(connection, "list")
        claimed = dispatch.claim(connection, 1)[0]
    with session_of(settings, database, Dispatch(parent, claimed.attempt), "list") as session:
        assert session.take(["web-list"])
        with pytest.raises(IsPlaylist, match="playlist of 2 videos"):
            Fetcher(settings, session, None).fetch("web-list")  # type: ignore[arg-type]
        assert session.take(["web-list"]) == {}
    with database.transaction() as connection:
        row = job(connection, parent)
        assert (row["status"], row["outcome"], row["failures"]) == ("succeeded", "expanded", 0)
        assert row["playlist"] == {"title": "A list", "videos": 2, "more": True, "skipped": 1}
        assert len(children_of(connection, parent)) == 2


def test_a_playlist_of_one_video_is_a_playlist_still(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch_url(*args: Any) -> None:
        args[-1].alias("youtube-dQw4w9WgXcQ")
        raise AssertionError("nothing is fetched under the name of a list")

    monkeypatch.setattr("narralytica_ingest.sources.ytdlp.fetch_url", fetch_url)
    url = "https://www.youtube.com/@narralytica/live"
    with database.transaction() as connection:
        parent = jobs.insert(connection, jobs.JobRequest(source_url=url))
        at_list = VideoKey("youtube-live-of-handle-narralytica", "youtube", "narralytica", url, None, None, "h")
        dispatch.attach(connection, parent, at_list)
        claimed = dispatch.claim(connection, 1)[0]
    with session_of(settings, database, Dispatch(parent, claimed.attempt), "list") as session:
        session.take([at_list.video_id])
        with pytest.raises(IsPlaylist):
            Fetcher(settings, session, None).fetch(at_list.video_id)  # type: ignore[arg-type]
    with database.transaction() as connection:
        children = children_of(connection, parent)
        assert [each["source_url"] for each in children] == ["https://www.youtube.com/watch?v=dQw4w9WgXcQ"]
        assert connection.execute("SELECT * FROM video_aliases").fetchall() == []


def test_the_partition_of_a_playlist_goes_and_its_run_succeeds_without_outputs(
    settings: Settings, database: Database, found: list[Listing], monkeypatch: pytest.MonkeyPatch
) -> None:
    found.append(listing())
    with database.transaction() as connection:
        parent = submit(connection, "list")
        claimed = dispatch.claim(connection, 1)[0]
    monkeypatch.setattr("narralytica_ingest.assets.raw_video._stored", lambda *_: None)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        session_of(settings, database, Dispatch(parent, claimed.attempt), "list") as session,
    ):
        instance.add_dynamic_partitions(str(video_partitions.name), ["web-list", "web-other"])
        context = dg.build_asset_context(partition_key="web-list", instance=instance)
        resources = {"run_session": session, "media_store": None, "fetcher": Fetcher(settings, session, None)}  # type: ignore[arg-type]
        assert list(raw_video(context, **resources)) == []  # type: ignore[call-overload]
        assert instance.get_dynamic_partitions(str(video_partitions.name)) == ["web-other"]


def test_a_run_without_a_job_cannot_expand_and_says_what_to_do(
    settings: Settings, database: Database, found: list[Listing]
) -> None:
    found.append(listing())
    with database.transaction() as connection:
        dispatch.attach(connection, UUID(int=0), key("list"))
    with session_of(settings, database, None, "list") as session:
        session.take(["web-list"])
        with pytest.raises(dg.Failure, match="submit the URL"), session.stage("fetch"):
            Fetcher(settings, session, None).fetch("web-list")  # type: ignore[arg-type]
    row = database.all("SELECT status, error_code FROM videos")[0]
    assert row == {"status": "failed", "error_code": "is_playlist"}


def test_a_jobs_own_limits_reach_the_fetch_and_never_exceed_the_settings(settings: Settings) -> None:
    wished = {"playlist_limit": 5, "max_bytes": 10**18, "format": "worst", "max_duration_seconds": 60}
    options = fetch_options(settings, {"options": wished, "source_url": "http://host/"})
    assert (options.max_entries, options.max_bytes) == (5, settings.max_bytes)
    assert (options.format, options.max_duration) == ("worst", 60)


# ---- names that extraction reveals ----------------------------------------------------------------------------------


def two_strays(connection: Connection) -> list[Lease]:
    for name in ("a", "b"):
        submit(connection, name)
    claimed = dispatch.claim(connection, 10)
    held = []
    for each in claimed:
        lease = leases.take(connection, f"run-{each.video_id}", [each.video_id], 60)[each.video_id]
        assert leases.bind(connection, Dispatch(each.job_id, each.attempt), lease)
        held.append(lease)
    return sorted(held, key=lambda lease: lease.video_id)


def learn(database: Database, lease: Lease, alias: str) -> str:
    with database.transaction() as connection:
        return aliases.learn(connection, lease, alias)


def test_two_strays_that_learn_the_same_name_at_once_become_one_video(database: Database) -> None:
    with database.transaction() as connection:
        held = two_strays(connection)
    with ThreadPoolExecutor(2) as pool:
        owners = list(pool.map(lambda lease: learn(database, lease, "site-x"), held))
    assert len(set(owners)) == 1
    assert [row["video_id"] for row in database.all("SELECT video_id FROM videos")] == [owners[0]]
    assert {row["video_id"] for row in database.all("SELECT video_id FROM ingest_jobs")} == {owners[0]}
    names = {row["alias"] for row in database.all("SELECT alias FROM video_aliases")}
    assert names == {"site-x", ({"web-a", "web-b"} - {owners[0]}).pop()}


@pytest.mark.parametrize("attempt", range(5))
def test_two_videos_that_reveal_each_others_name_at_once_become_one(database: Database, attempt: int) -> None:
    with database.transaction() as connection:
        first, second = two_strays(connection)
    with ThreadPoolExecutor(2) as pool:
        pairs = [(first, second.video_id), (second, first.video_id)]
        owners = list(pool.map(lambda pair: learn(database, *pair), pairs))
    assert len(set(owners)) == 1
    assert [row["video_id"] for row in database.all("SELECT video_id FROM videos")] == [owners[0]]


def test_a_chain_of_names_leads_to_the_last_video(database: Database) -> None:
    with database.transaction() as connection:
        first, second = two_strays(connection)
    assert learn(database, first, second.video_id) == "web-b"
    with database.transaction() as connection:
        submit(connection, "c")
    assert learn(database, second, "web-c") == "web-c"
    found = {row["alias"]: row["video_id"] for row in database.all("SELECT alias, video_id FROM video_aliases")}
    assert found == {"web-a": "web-c", "web-b": "web-c"}
    assert {row["video_id"] for row in database.all("SELECT video_id FROM ingest_jobs")} == {"web-c"}


def test_a_video_that_reveals_its_own_name_stays_what_it_is(database: Database) -> None:
    with database.transaction() as connection:
        first, _ = two_strays(connection)
    assert learn(database, first, "web-a") == "web-a"
    assert learn(database, first, "site-a") == "web-a"
    assert learn(database, first, "site-a") == "web-a"
    assert database.all("SELECT alias, video_id FROM video_aliases") == [{"alias": "site-a", "video_id": "web-a"}]


def test_a_known_video_that_goes_at_the_last_moment_is_asked_for_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        first, _ = two_strays(connection)
        connection.execute("INSERT INTO video_aliases VALUES ('site-x', 'web-b')")
    asked = aliases.learn_alias

    def then_it_goes(connection: Connection, alias: str, video_id: str) -> str:
        monkeypatch.setattr("narralytica_ingest.store.aliases.learn_alias", asked)
        owner = asked(connection, alias, video_id)
        with database.transaction() as other:
            other.execute("DELETE FROM ingest_jobs WHERE video_id = 'web-b'")
            other.execute("DELETE FROM videos WHERE video_id = 'web-b'")
        return owner

    monkeypatch.setattr("narralytica_ingest.store.aliases.learn_alias", then_it_goes)
    assert learn(database, first, "site-x") == "web-a"
    assert database.all("SELECT alias, video_id FROM video_aliases") == [{"alias": "site-x", "video_id": "web-a"}]


def test_a_url_that_was_ingested_under_its_hash_keeps_that_id_when_its_site_is_learned(
    settings: Settings, endpoints: Endpoints, database: Database, tmp_path: Path
) -> None:
    url = "https://www.dailymotion.com/video/x5kesuj"
    with database.transaction() as connection:
        submit(connection, "hash")  # as an earlier version named it
        _, lease = start(connection)
        assert aliases.learn(connection, lease, "dailymotion-x5kesuj") == "web-hash"
        commit_all(connection, lease)
        leases.release(connection, [lease])
        again = jobs.insert(connection, jobs.JobRequest(source_url=url))
    Intake(settings, endpoints).admit()
    with database.transaction() as connection:
        row = job(connection, again)
    assert (row["outcome"], row["video_id"]) == ("deduplicated", "web-hash")
