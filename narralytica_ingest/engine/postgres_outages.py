"""How a worker's processes use Postgres through SQLAlchemy: for Dagster's tables, and for a broker that is Postgres.

Every line and event of a run is a write to Dagster's event log, between and around our own code. Its library gives a
database six seconds to come back, and then fails the run in a place where nobody can say why. So runs wait longer, and
what fails is remembered. Celery, on the other hand, tries the broker again at once and for ever.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_PAUSE_SECONDS = 0.5


@dataclass
class _State:
    """Of this process; moments are monotonic seconds."""

    patience: float = 0.0
    away_since: float | None = None
    failed_at: float | None = None


_state = _State()


def be_patient(seconds: float) -> None:
    """From now on the main thread's connections wait so long for a Postgres that is away, and fail no faster than twice
    a second after that. For a process of the worker and those that it forks; may be called again.

    Only connecting is repeated: nothing has been written then.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    _state.patience = seconds
    if not event.contains(Engine, "do_connect", _connect):
        event.listen(Engine, "do_connect", _connect)
        event.listen(Engine, "handle_error", _note)


def _connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    while True:
        try:
            connection = dialect.connect(*arguments, **options)
        except dialect.loaded_dbapi.OperationalError:
            if threading.current_thread() is not threading.main_thread():  # a heartbeat has more to look at
                raise
            _state.away_since = _state.away_since or time.monotonic()
            time.sleep(_PAUSE_SECONDS)
            if time.monotonic() - _state.away_since > _state.patience:
                raise
        else:
            _state.away_since = None
            return connection


def _note(context: Any) -> None:
    if is_away(context.original_exception):
        _state.failed_at = time.monotonic()


def failed_since(moment: float) -> bool:
    """Whether Dagster's tables were out of reach for this process after `moment` (monotonic seconds)."""
    return _state.failed_at is not None and _state.failed_at >= moment


def is_away(error: BaseException) -> bool:
    """Whether this is, or comes from, a connection that could not be made or that broke."""
    return any(_names(each) & _AWAY for each in _chain(error))


# By name: the libraries take long to import, and whoever raised one has imported it. psycopg's own OperationalError
# is not among them: `store/database.py` has classified it.
_AWAY = frozenset(
    {
        "dagster_postgres.utils.DagsterPostgresException",
        "sqlalchemy.exc.OperationalError",
        "psycopg2.OperationalError",
        "sqlalchemy.exc.TimeoutError",
    }
)


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__
