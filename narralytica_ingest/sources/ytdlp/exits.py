"""The way out for yt-dlp's requests: the guard of the fetch, and what its refusals mean.

What belongs here: which guard a request goes through, and turning what a guard refused, or could not reach, into the
exception that yt-dlp would have met without it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.networking.exceptions import ProxyError, TransportError

from narralytica_ingest.egress import Contact, EgressPolicy, Guard, ProxyFailed, Refusal, same_host
from narralytica_ingest.failures import CATALOGUE, IngestError, failure
from narralytica_ingest.sources.fetching import FetchOptions

_PORTS = {"http": 80, "https": 443}
# What an extractor says when it found nothing; the refusal of what it looked for says why.
_VAGUE = {"unsupported_url", "no_video_found", "no_formats", "unknown"}


class Exits:
    """The guards of one fetch: the one that everything goes through, and the one that leads to the operator's PO token
    provider and nowhere else, for the requests of its plugin."""

    def __init__(self, guard: Guard, provider: Guard | None = None, origin: tuple[str, str, int] | None = None) -> None:
        self._guard, self._provider, self._origin = guard, provider, origin
        self._guards = [guard, *([provider] if provider else ())]

    def proxy_for(self, url: str, wished: dict[str, Any]) -> str:
        """The URL of the guard that a request must use. `wished` are the proxies that the request itself names."""
        if self._provider is not None and wished == {"all": None} and _origin(url) == self._origin:
            return self._provider.url
        return self._guard.url

    def mark(self) -> list[int]:
        """Now, for `explained`."""
        return [each.misses for each in self._guards]

    def explained(self, error: Exception, since: list[int]) -> Exception:
        """What a failed request met behind the guard; the error itself if it met nothing there.

        A refusal is a TransportError with the IngestError as its cause: an extractor that can do without goes on.
        """
        for guard, before in zip(self._guards, since, strict=True):
            if guard.misses > before and (missed := guard.last_miss) is not None:
                return refused(_verdict(missed)) if isinstance(missed, Refusal) else _met(missed)
        return error

    def verdict(self, found: IngestError) -> IngestError:
        """The verdict on the fetch: what the guard refused, where that is the reason behind a vaguer one."""
        refusals = self._guard.refusals
        exceeded = [each for each in refusals if each.code == "egress_exceeded"]
        if exceeded:
            return _verdict(exceeded[0])
        return _verdict(refusals[0]) if refusals and found.code in _VAGUE else found

    def contacts(self) -> list[Contact]:
        """All hosts that were asked for."""
        return [contact for each in self._guards for contact in each.contacts()]


@contextmanager
def exits(options: FetchOptions) -> Iterator[Exits]:
    """The guards, at work in the `with` block."""
    with ExitStack() as stack:
        guard = stack.enter_context(Guard(options.egress, options.access.proxy, options.socket_timeout))
        url = options.access.pot_provider_url
        origin = _origin(url) if url is not None else None
        if origin is None:
            yield Exits(guard)
            return
        policy = EgressPolicy(allow=frozenset({(same_host(origin[1]), origin[2])}), ports=frozenset())
        yield Exits(guard, stack.enter_context(Guard(policy, None, options.socket_timeout)), origin)


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, (parts.hostname or "").rstrip("."), port


def _verdict(refusal: Refusal) -> IngestError:
    return failure(refusal.code, f"{refusal.message} {CATALOGUE[refusal.code].action}")


def refused(verdict: IngestError) -> Exception:
    """A refusal as yt-dlp takes it: a failure of the network."""
    met: Exception = TransportError(verdict.message, cause=verdict)
    return met


def _met(error: Exception) -> Exception:
    met: Exception = TransportError(cause=error)
    if isinstance(error, ProxyFailed):
        met = ProxyError("Tunnel connection failed: 407" if error.wants_login else str(error), cause=error)
    return met
