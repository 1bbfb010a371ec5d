"""The Dagster UI with a door: `python -m narralytica_ingest.local.webserver`, with dagster-webserver's own options.

The UI has no login, and listens on loopback. But every browser on this machine reaches that, whatever pages it shows,
and Dagster's server alone would do what any of them asks. So it answers to its own names only (a page elsewhere cannot
become one of ours by giving its name our address), and takes orders from its own pages only.
"""

from dagster_webserver import app as dagster_app
from dagster_webserver.cli import main as dagster_main
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from narralytica_ingest.config import load_settings
from narralytica_ingest.local.own_pages import OWN_NAMES, names, refusal


class OwnPagesOnly:
    """Middleware: refuses what another site's page sends, and forbids others to show the UI in a frame of theirs."""

    def __init__(self, app: ASGIApp, proxied: frozenset[str]) -> None:
        self._app, self._proxied = app, proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = refusal(
            Headers(scope=scope), scope.get("method", ""), scope["path"], scope["query_string"].decode(), self._proxied
        )
        if why is not None:
            await _refuse(why, scope, receive, send)
            return

        async def unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Frame-Options"] = "DENY"
            await send(message)

        await self._app(scope, receive, unframed)


async def _refuse(why: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # before it is accepted: the browser is answered 403
    else:
        await PlainTextResponse(why, status_code=403)(scope, receive, send)


class _Guarded(DagsterWebserver):  # type: ignore[type-arg]
    def build_middleware(self) -> list[Middleware]:
        proxied = names(load_settings().ui_hosts)
        return [
            Middleware(TrustedHostMiddleware, allowed_hosts=sorted(OWN_NAMES | proxied), www_redirect=False),
            Middleware(OwnPagesOnly, proxied=proxied),
            *super().build_middleware(),
        ]


def main() -> None:
    """Runs Dagster's own command with our server, which it takes by this name."""
    dagster_app.DagsterWebserver = _Guarded  # type: ignore[attr-defined]
    dagster_main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
