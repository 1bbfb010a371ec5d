"""Trials: an ingestion is killed, everything that recovers does its work, and the end is compared.

What belongs here: which kills are tried, what is found after each, and how it is reported.
"""

import os
from collections.abc import Callable, Mapping, Sequence

from narralytica_ingest_tests.integration.crash_points.end_state import State, differences
from narralytica_ingest_tests.integration.crash_points.laboratory import Laboratory
from narralytica_ingest_tests.integration.crash_points.points import BUCKET, DAGSTER, TABLES, Kill, Point

OWN = {TABLES, BUCKET}
Trial = Callable[[Kill], list[str]]


# ---- which kills ---------------------------------------------------------------------------------------------------


def after_own_writes(points: Sequence[Point]) -> list[Kill]:
    """After each write of our own, but those by which the server is tried."""
    return [kill for kill in _after(points, OWN) if not _tries_the_server(points, kill)]


def before_own_writes(points: Sequence[Point]) -> list[Kill]:
    """Just before each of them: since the write before, files may have changed."""
    return [Kill(kill.number, after=False) for kill in after_own_writes(points)]


def around_own_writes(points: Sequence[Point]) -> list[Kill]:
    """Both."""
    return sorted(before_own_writes(points) + after_own_writes(points), key=lambda kill: (kill.number, kill.after))


def other_own_writes(points: Sequence[Point]) -> list[Kill]:
    """What `after_own_writes` leaves out."""
    tries = [kill for kill in _after(points, OWN) if _tries_the_server(points, kill)]
    return before_own_writes(points) + tries


def after_writes_of_dagster(points: Sequence[Point]) -> list[Kill]:
    """After each write of Dagster's: nothing else happens before the next."""
    return _after(points, {DAGSTER})


def _after(points: Sequence[Point], kinds: set[str]) -> list[Kill]:
    return [Kill(point.number, after=True) for point in points if point.kind in kinds]


def _tries_the_server(points: Sequence[Point], kill: Kill) -> bool:
    return "probe/" in points[kill.number - 1].what


def check_points(points: Sequence[Point], needed: Sequence[str], least: int) -> None:
    """Fails unless the writes that must be there were seen, and at least so many of our own."""
    missing = [what for what in needed if not any(what in point.what for point in points)]
    assert not missing, f"never seen: {missing}\n{table(points)}"
    assert sum(point.kind in OWN for point in points) >= least, table(points)


# ---- what is found -------------------------------------------------------------------------------------------------


def undisturbed(laboratory: Laboratory) -> tuple[list[Point], State]:
    """The writes of the scenario when nothing disturbs it, and its end."""
    laboratory.begin()
    points = laboratory.act()
    laboratory.recover()
    laboratory.place.check_what_is_served()
    return points, laboratory.place.end_state()


def recovered(laboratory: Laboratory, wanted: State, kills: int = 1) -> list[str]:
    """What is wrong now, right after `kills` kills, and when everything that recovers has done its work."""
    try:
        laboratory.place.check_what_is_served()
        laboratory.submit()
        laboratory.recover()
        laboratory.place.check_what_is_served()
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    charged = laboratory.place.database.all("SELECT failures FROM ingest_jobs WHERE failures > %s", (kills,))
    wrong = differences(wanted, laboratory.place.end_state())
    return [*wrong, *(f"{row['failures']} failures after {kills} kills" for row in charged)]


# ---- the report ----------------------------------------------------------------------------------------------------


def try_all(
    name: str, points: Sequence[Point], kills: Sequence[Kill], trial: Trial, share: tuple[int, int] = (0, 1)
) -> None:
    """Tries one share of the kills (which, of how many), or the one that CRASH_POINT in the environment names.

    Fails with a table of the points, and what is wrong at which of them.
    """
    part, parts = share
    only = os.environ.get("CRASH_POINT")
    mine = kills[part::parts] if only is None else [kill for kill in kills if only == f"{name} {kill}" and part == 0]
    wrong = {kill: found for kill in mine if (found := trial(kill))}
    said = "\n".join(f"\nCRASH_POINT='{name} {kill}'\n  " + "\n  ".join(found) for kill, found in wrong.items())
    marks = {kill.number: f"<-- wrong {kill}" for kill in wrong}
    assert not wrong, f"{len(wrong)} of {len(mine)} kills leave a trace\n{table(points, marks)}\n{said}"


def table(points: Sequence[Point], marks: Mapping[int, str] | None = None) -> str:
    """All points, a line each, with what is said about some of them."""
    return "\n".join(f"{point}   {(marks or {}).get(point.number, '')}".rstrip() for point in points)
