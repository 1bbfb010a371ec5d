"""What `doctor` tries of the way to sources: the guard, cookies, proxies, PO tokens, impersonation, JavaScript.

What belongs here: checks that use what is configured, on this machine and up to the proxy or provider, never a source.
What they say holds no cookie, no password and no token.
"""

import http.client
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import ProxyHandler, build_opener

from narralytica_ingest.cli.checks import Broken, run_program
from narralytica_ingest.config import Settings
from narralytica_ingest.egress import Guard
from narralytica_ingest.resources.fetch_options import egress
from narralytica_ingest.sources.cookies_file import read_cookies

NOT_CONFIGURED = "not configured"
_SECONDS = 5.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOME_DOMAINS = 5
_PROXIES = "Correct NARRALYTICA_PROXIES, or start the proxy."
_PLUGIN = "bgutil-ytdlp-pot-provider"


def source_checks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    """The checks, by name; each says what it saw or raises Broken or IngestError."""
    yield "egress", lambda: _egress(settings)
    yield "deno", javascript
    yield "cookies", lambda: _cookies(settings)
    for domain in settings.proxies or ("",):
        yield f"proxy {domain}".strip(), lambda domain=domain: _proxy(settings, domain)  # type: ignore[misc]
    provider = settings.pot_provider_url
    yield "PO tokens", lambda: _po_tokens(provider.get_secret_value() if provider else None)
    yield "impersonate", lambda: _impersonation(settings.impersonate)


def _egress(settings: Settings) -> str:
    """Asks a guard for a server of this machine, which it must refuse; then says what the settings open."""
    policy = egress(settings)
    with socket.create_server(("127.0.0.1", 0)) as own, Guard(replace(policy, allow=frozenset())) as guard:
        try:
            build_opener(ProxyHandler({"http": guard.url})).open(f"http://127.0.0.1:{own.getsockname()[1]}/", timeout=5)
        except OSError:  # urllib's errors, too
            refused = [each.code for each in guard.refusals]
        else:
            refused = []
    if refused != ["blocked_address"]:
        raise Broken("the guard did not refuse an address of this machine", "Report it, and fetch nothing until then.")
    said = [f"public addresses, ports {', '.join(map(str, sorted(policy.ports)))}"]
    said += [f"exceptions {', '.join(f'{host} {port}' for host, port in sorted(policy.allow))}"] if policy.allow else []
    for name in ("allowed_hosts", "denied_hosts", "allowed_extractors", "denied_extractors"):
        if words := getattr(settings, name):
            said.append(f"{name.replace('_', ' ')} {words}")
    return "; ".join(said)


def javascript() -> str:
    """Runs a line of JavaScript as yt-dlp would."""
    from narralytica_ingest.sources.ytdlp import javascript_runtime

    deno = javascript_runtime()
    mend = "Make the environment again with `make setup`: deno comes with it, and YouTube needs it."
    if deno is None:
        raise Broken("there is none beside Python, so YouTube jobs fail with javascript_runtime_missing", mend)
    words = run_program([deno, "eval", "console.log(Deno.version.deno, 6 * 7)"], mend).split()
    if words[1:] != ["42"]:
        raise Broken(f"{deno} does not run JavaScript", mend)
    return f"{words[0]}, runs JavaScript ({deno})"


def _cookies(settings: Settings) -> str:
    said = []
    if settings.cookies_file is not None:
        said.append(_cookies_file(settings))
    if settings.cookies_from_browser is not None:
        from narralytica_ingest.sources.ytdlp.access import browser, count_browser_cookies

        name, *_ = browser(settings.cookies_from_browser)
        count = count_browser_cookies(settings.cookies_from_browser)
        if not count:
            raise Broken(f"{name} has no cookie", "Log in with the browser first, or name its right profile.")
        said.append(f"{count} cookies in {name}")
    return "; ".join(said) or NOT_CONFIGURED


def _cookies_file(settings: Settings) -> str:
    assert settings.cookies_file is not None
    cookies = read_cookies(settings.cookies_file)
    if not cookies.domains:
        seen = f"all {cookies.expired} cookies in the file have expired" if cookies.expired else "the file is empty"
        raise Broken(seen, "Export the cookies again: see docs/access.md.")
    shown = [f"{domain} {count}" for domain, count in cookies.domains.most_common(_SOME_DOMAINS)]
    more = len(cookies.domains) - len(shown)
    shown += [f"{more} more domains"] if more > 0 else []
    expired = f"; {cookies.expired} expired" if cookies.expired else ""
    return f"{cookies.domains.total()} cookies in the file ({', '.join(shown)}){expired}"


def _proxy(settings: Settings, domain: str) -> str:
    if not domain:
        return NOT_CONFIGURED
    from narralytica_ingest.sources.fetching import Access
    from narralytica_ingest.sources.ytdlp.access import opened

    url = settings.proxies[domain].get_secret_value()
    opened(Access(proxy=url))  # raises where it is no URL of a proxy
    parts = urlsplit(url)
    try:
        return _answer_of(parts, domain)
    except ssl.SSLError as error:
        raise Broken("the proxy does not answer with TLS", _PROXIES) from error
    except (OSError, http.client.HTTPException) as error:
        # Their words may quote what was sent.
        reason = "in time" if isinstance(error, TimeoutError) else f"({type(error).__name__})"
        raise Broken(f"the proxy does not answer {reason}", _PROXIES) from None


def _answer_of(parts: SplitResult, domain: str) -> str:
    """What the proxy says to a request for a tunnel to the domain; a SOCKS proxy is only connected to."""
    host, scheme = parts.hostname or "", parts.scheme.lower()
    with socket.create_connection((host, parts.port or _DEFAULT_PORTS.get(scheme, 1080)), _SECONDS) as plain:
        if scheme not in _DEFAULT_PORTS:
            return f"{scheme} proxy, can be connected to"
        secure = scheme == "https"
        connection = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        if domain == "*":
            return f"{scheme} proxy, can be connected to"
        connection.sendall(_tunnel_request(parts, f"{domain}:443"))
        answer = http.client.HTTPResponse(connection, method="CONNECT")
        try:
            answer.begin()
        finally:
            answer.close()
    if answer.status == 407:
        raise Broken("the proxy refuses the user name or password (407)", _PROXIES)
    if answer.status != 200:
        raise Broken(f"the proxy makes no connection to {domain} ({answer.status})", "Ask whoever runs the proxy.")
    return f"{scheme} proxy, connects to {domain}"


def _tunnel_request(parts: SplitResult, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(login.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()


def _po_tokens(url: str | None) -> str:
    if url is None:
        return NOT_CONFIGURED
    try:
        ours = version(_PLUGIN)
    except PackageNotFoundError:
        raise Broken(f"yt-dlp's plugin {_PLUGIN} is not installed", "Run `make setup`.") from None
    mend = "Start the provider, or correct NARRALYTICA_POT_PROVIDER_URL: see docs/access.md."
    try:
        # As the plugin asks it: never through a proxy.
        with build_opener(ProxyHandler({})).open(f"{url.rstrip('/')}/ping", timeout=_SECONDS) as answer:
            theirs = str(json.loads(answer.read(65_536))["version"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        raise Broken("the provider does not answer /ping", mend) from None
    if theirs.split(".", maxsplit=1)[0] != ours.split(".")[0]:
        raise Broken(f"the provider is of version {theirs[:20]}, the plugin of {ours}", "Give both the same version.")
    return f"the provider answers (version {theirs[:20]}, plugin {ours})"


def _impersonation(name: str | None) -> str:
    if name is None:
        return NOT_CONFIGURED
    from narralytica_ingest.sources.ytdlp.access import impersonation

    return f"{impersonation(name)}, with curl_cffi {version('curl_cffi')}"
