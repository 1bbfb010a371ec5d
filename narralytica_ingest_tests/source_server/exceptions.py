"""What the egress guard lets a worker reach on this machine: the servers of the tests, and nothing else.

What belongs here: the setting in this process's environment, which everything that is started afterwards inherits.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from narralytica_ingest.egress import EgressPolicy, parse_allow
from narralytica_ingest.sources.fetching import FetchOptions

SETTING = "NARRALYTICA_EGRESS_ALLOW"


def lab_policy() -> EgressPolicy:
    """The usual policy, with the servers that run now as its exceptions: for fetches without settings."""
    return EgressPolicy(allow=parse_allow(os.environ.get(SETTING, "")))


def lab_options(**options: Any) -> FetchOptions:
    """Options of a fetch that may reach these servers."""
    return FetchOptions(**({"egress": lab_policy()} | options))


@contextmanager
def opened_to(host: str, port: int) -> Iterator[None]:
    """Adds an exception for the time of the `with` block."""
    word = open_to(host, port)
    try:
        yield
    finally:
        close_to(word)


def open_to(host: str, port: int) -> str:
    """Adds an exception, and returns it for `close_to`."""
    word = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _set([*_words(), word])
    return word


def close_to(word: str) -> None:
    """Takes an exception back."""
    words = _words()
    if word in words:
        words.remove(word)
    _set(words)


def _words() -> list[str]:
    return [word for word in os.environ.get(SETTING, "").split(",") if word]


def _set(words: Iterable[str]) -> None:
    os.environ[SETTING] = ",".join(words)
