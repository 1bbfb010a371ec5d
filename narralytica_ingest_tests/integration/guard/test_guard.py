"""The guard itself, talked to by hand: who may use it, what it refuses to understand, its limits and its end."""

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from narralytica_ingest.egress import Contact, EgressPolicy, Guard, resolve
from narralytica_ingest.egress.resolve import Found
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

CLIP = SAMPLE.read_bytes()


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def open_to(*urls: str, **limits: float) -> EgressPolicy:
    """The usual policy, with the hosts of these URLs as exceptions."""
    return EgressPolicy(allow=frozenset((urlsplit(url).hostname or "", port_of(url)) for url in urls), **limits)  # type: ignore[arg-type]


def connected(guard: Guard) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(guard.url)), 10)


def login(guard: Guard) -> bytes:
    parts = urlsplit(guard.url)
    return b"Proxy-Authorization: Basic " + base64.b64encode(f"{parts.username}:{parts.password}".encode()) + b"\r\n"


def rest_of(client: socket.socket) -> bytes:
    received = b""
    while piece := client.recv(1 << 16):
        received += piece
    return received


def said(guard: Guard, sent: bytes) -> bytes:
    """All that the guard answers to these bytes, until it ends the connection."""
    with closing(connected(guard)) as client:
        client.sendall(sent)
        return rest_of(client)


def get(guard: Guard, url: str, *fields: bytes) -> bytes:
    return said(guard, b"GET %s HTTP/1.1\r\n" % url.encode() + login(guard) + b"".join(fields) + b"\r\n")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


# ---- who may use it --------------------------------------------------------------------------------------------------


def test_a_request_with_the_password_gets_the_source_s_answer_unchanged(server: SourceServer) -> None:
    url = server.add("/clip.mp4")
    with Guard(open_to(url)) as guard:
        answer = get(guard, url)
        came = len(answer) - len("Connection: close\r\n")
        assert guard.contacts() == [Contact("127.0.0.1", port_of(url), 1, came, None)]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\nServer: ")
    assert body == CLIP


@pytest.mark.parametrize(
    "given", [b"", b"Proxy-Authorization: Basic am9iOg==\r\n", b"Proxy-Authorization: Bearer x\r\n",
              b"Authorization: Basic am9iOg==\r\n"]
)  # fmt: skip
@pytest.mark.parametrize("line", [b"GET %s HTTP/1.1\r\n", b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n"])
def test_without_the_password_nothing_is_asked_of_anybody(server: SourceServer, given: bytes, line: bytes) -> None:
    url = server.add("/clip.mp4")
    target = line % port_of(url) if b"%d" in line else line % url.encode()
    with Guard(open_to(url)) as guard:
        assert status(said(guard, target + given + b"\r\n")) == 407
        assert (guard.contacts(), guard.refusals) == ([], [])
    assert not server.requests


def test_the_password_is_in_nothing_that_is_shown() -> None:
    with Guard(EgressPolicy()) as guard:
        password = urlsplit(guard.url).password or ""
        assert len(password) >= 32
        shown = [repr(guard), repr(vars(guard)["policy"]), get(guard, "http://127.0.0.1/").decode()]
    assert password not in "".join(shown)
    with Guard(EgressPolicy()) as other:
        assert password not in other.url


# ---- what it refuses to understand -----------------------------------------------------------------------------------

SECOND = b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_of",
    [
        lambda url: b"GET %s HTTP/1.1\r\nLOGIN\r\n" % url + SECOND,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINContent-Length: 0\r\n\r\n" % url + SECOND,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINContent-Length: 3\r\n\r\nabc" % url + SECOND,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % url + SECOND,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINConnection: keep-alive\r\n\r\n" % url
        + b"GET %s HTTP/1.1\r\nLOGIN\r\n" % url.replace(b"first", b"secret"),
    ],
)  # fmt: skip
def test_of_two_requests_on_one_connection_the_second_goes_nowhere(
    server: SourceServer, request_of: Callable[[bytes], bytes]
) -> None:
    url = server.add("/first", b"one", content_type="text/plain")
    server.add("/secret", b"two", content_type="text/plain")
    with Guard(open_to(url)) as guard:
        answer = said(guard, request_of(url.encode()).replace(b"LOGIN", login(guard)))
    assert answer.endswith(b"\r\n\r\none")
    assert server.requests == {"/first": 1}


@pytest.mark.parametrize(
    "request_of",
    [
        lambda url: b"GET %s HTTP/1.1\r\nLOGINContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % url,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINContent-Length: 0\r\nContent-Length: 5\r\n\r\n" % url,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINTransfer-Encoding: xchunked\r\n\r\n" % url,
        lambda url: b"GET %s HTTP/1.1\nLOGIN\r\n" % url,
        lambda url: b"GET %s HTTP/1.1\r\nLOGINA: b\n\n" % url,
        lambda url: b"GET %s HTTP/1.1\r\nLOGIN folded\r\n\r\n" % url,
        lambda url: b"GET %s\rX: y HTTP/1.1\r\nLOGIN\r\n" % url,
        lambda url: b"GET %s\r\n X HTTP/1.1\r\nLOGIN\r\n" % url,
        lambda url: b"GET %s\x00 HTTP/1.1\r\nLOGIN\r\n" % url,
        lambda url: b"GET / HTTP/1.1\r\nLOGINHost: %s\r\n\r\n" % url.split(b"/")[2],
        lambda url: b"CONNECT %s/first HTTP/1.1\r\nLOGIN\r\n" % url.split(b"/")[2],
        lambda url: b"CONNECT %s HTTP/1.1\r\nLOGIN\r\n" % url,
        lambda url: b"CONNECT %s HTTP/1.1\r\nLOGINContent-Length: 5\r\n\r\nhello" % url.split(b"/")[2],
        lambda url: b"GET %s HTTP/1.1\r\nLOGINA: " % url + b"x" * (70 << 10) + b"\r\n\r\n",
        lambda url: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused_and_goes_nowhere(
    server: SourceServer, request_of: Callable[[bytes], bytes]
) -> None:
    url = server.add("/first", b"one", content_type="text/plain")
    with Guard(open_to(url)) as guard:
        answer = said(guard, request_of(url.encode()).replace(b"LOGIN", login(guard)))
    assert status(answer) in (400, 431)
    assert not server.requests


def test_the_host_is_that_of_the_url_whatever_the_header_says(server: SourceServer) -> None:
    seen: list[str] = []
    server.add("/first", b"one", content_type="text/plain")
    url = server.add_answer("/first", lambda asked: seen.append(asked.headers["Host"]) or server.resources["/first"])  # type: ignore[func-returns-value]
    with Guard(open_to(url)) as guard:
        assert status(get(guard, url, b"Host: 169.254.169.254\r\n")) == 200
        assert status(get(guard, "http://169.254.169.254/", b"Host: %s\r\n" % url.split("/")[2].encode())) == 403
        assert [each.code for each in guard.refusals] == ["blocked_address"]
    assert seen == [url.split("/")[2]]


def test_a_head_that_drips_is_given_up(server: SourceServer) -> None:
    with Guard(open_to(server.add("/clip.mp4")), timeout=0.5) as guard, closing(connected(guard)) as client:
        began = time.monotonic()
        client.sendall(b"GET http://")
        with closing(client):
            while time.monotonic() - began < 5:
                try:
                    client.sendall(b"x")
                except OSError:
                    break
                time.sleep(0.1)
    assert 0.4 < time.monotonic() - began < 3


# ---- tunnels ---------------------------------------------------------------------------------------------------------


@contextmanager
def echo() -> Iterator[str]:
    """A server that sends back what it gets, until it gets no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    while data := client.recv(1 << 16):
                        client.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def tunnel(guard: Guard, target: str) -> socket.socket:
    client = connected(guard)
    client.sendall(b"CONNECT %s HTTP/1.1\r\n" % target.encode() + login(guard) + b"\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    return client


def test_a_tunnel_carries_both_ways_what_it_is_given() -> None:
    with echo() as url, Guard(open_to(url)) as guard, closing(tunnel(guard, url.split("/")[2])) as client:
        sender = threading.Thread(target=client.sendall, args=(CLIP * 30,))
        sender.start()
        received = 0
        while received < len(CLIP) * 30:
            received += len(client.recv(1 << 20))
        sender.join()
        assert guard.contacts() == [Contact("127.0.0.1", port_of(url), 1, len(CLIP) * 30, None)]


@pytest.mark.parametrize("target", ["127.0.0.1:%d", "localhost:%d", "[::1]:%d", "[::ffff:127.0.0.1]:%d", "127.1:%d",
                                    "0x7f000001:%d", "2130706433:%d", "0:%d", "[::]:%d"])  # fmt: skip
def test_a_tunnel_leads_to_no_forbidden_address(target: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary, Guard(EgressPolicy()) as guard:
        line = b"CONNECT %s HTTP/1.1\r\n" % (target % canary.getsockname()[1]).encode()
        answer = said(guard, line + login(guard) + b"\r\n")
        assert (status(answer), [each.code for each in guard.refusals]) == (403, ["blocked_address"])
        canary.settimeout(0.1)
        with pytest.raises(TimeoutError):
            canary.accept()


def test_the_machine_s_own_addresses_are_refused_though_they_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narralytica_ingest.egress.judge.reason", lambda _: None)
    with Guard(EgressPolicy()) as guard:
        assert b"this machine's own" in get(guard, "http://127.0.0.1/")


# ---- lookups ---------------------------------------------------------------------------------------------------------


def resolving(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]], port: int) -> list[str]:
    """A resolver whose answers change: each lookup gets the next of them. Returns the names that it was asked for."""
    asked: list[str] = []

    def addresses(host: str, _: int) -> list[Found]:
        asked.append(host)
        return [Found(socket.AF_INET, each, (each, port)) for each in answers[min(len(asked), len(answers)) - 1]]

    monkeypatch.setattr(resolve, "addresses", addresses)
    return asked


def test_a_name_is_looked_up_once_for_a_connection(server: SourceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it looked up again to connect, the second answer would count."""
    url = server.add("/clip.mp4", b"one", content_type="text/plain")
    asked = resolving(monkeypatch, [["127.0.0.1"], ["169.254.169.254"]], port_of(url))
    policy = EgressPolicy(allow=frozenset({("rebinding.example", 80)}))
    with Guard(policy) as guard:
        assert get(guard, "http://rebinding.example/clip.mp4").endswith(b"one")
    assert asked == ["rebinding.example"]


def test_an_answer_with_one_forbidden_address_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, [["93.184.215.14", "10.0.0.1"]], 80)
    with Guard(EgressPolicy()) as guard:
        assert status(get(guard, "http://both.example/")) == 403
    assert asked == ["both.example"]


def test_the_next_address_is_tried_where_the_first_is_not_there(
    server: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.add("/clip.mp4", b"one", content_type="text/plain")
    resolving(monkeypatch, [["127.0.0.9", "127.0.0.1"]], port_of(url))
    with Guard(EgressPolicy(allow=frozenset({("two.example", 80)}))) as guard:
        assert get(guard, "http://two.example/clip.mp4").endswith(b"one")


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_beyond_its_bytes_a_job_gets_nothing_more(server: SourceServer) -> None:
    url = server.add("/clip.mp4")
    with Guard(open_to(url, max_bytes=100_000)) as guard:
        answer = get(guard, url)
        assert 0 < len(answer) <= 100_000 + (512 << 10)
        assert len(answer) < len(CLIP)
        assert status(get(guard, url)) == 403
        assert {each.code for each in guard.refusals} == {"egress_exceeded"}
    assert server.requests == {"/clip.mp4": 1}


def test_what_a_job_sends_counts_as_well() -> None:
    with echo() as url, Guard(open_to(url, max_bytes=100_000)) as guard, closing(tunnel(guard, url[7:-1])) as client:
        with pytest.raises(OSError):  # noqa: PT011 (which one depends on how far the end got)
            for _ in range(1000):
                client.sendall(bytes(10_000))
                if not client.recv(1 << 20):
                    raise ConnectionResetError
        assert [each.code for each in guard.refusals] == ["egress_exceeded"]


def test_beyond_its_time_a_job_gets_nothing_more() -> None:
    with echo() as url, Guard(open_to(url, max_seconds=0.3)) as guard, closing(tunnel(guard, url[7:-1])) as client:
        began = time.monotonic()
        assert client.recv(1) == b""
        assert 0.1 < time.monotonic() - began < 2
        assert status(get(guard, url)) == 403
        assert {each.code for each in guard.refusals} == {"egress_exceeded"}


def test_beyond_its_connections_a_job_gets_nothing_more(server: SourceServer) -> None:
    url = server.add("/clip.mp4", b"one", content_type="text/plain")
    with Guard(open_to(url, max_connections=3)) as guard:
        assert [status(get(guard, url)) for _ in range(5)] == [200, 200, 200, 403, 403]
        assert guard.refusals[0].code == "egress_exceeded"
        assert guard.contacts()[0].connections == 3


def test_of_too_many_connections_at_once_the_one_that_is_idle_longest_gives_way() -> None:
    with echo() as url, Guard(open_to(url)) as guard:
        clients = [tunnel(guard, url[7:-1]) for _ in range(33)]
        try:
            clients[0].settimeout(5)
            assert clients[0].recv(1) == b""
            clients[1].settimeout(0.2)
            with pytest.raises(TimeoutError):
                clients[1].recv(1)
        finally:
            for each in clients:
                each.close()


# ---- its end ---------------------------------------------------------------------------------------------------------


def test_its_end_is_the_end_of_every_transfer_and_thread(server: SourceServer) -> None:
    url = server.add("/slow.mp4", rate=10_000.0)
    before = threading.active_count()
    with Guard(open_to(url)) as guard:
        clients = [connected(guard) for _ in range(5)]
        for each in clients[:4]:
            each.sendall(b"GET %s HTTP/1.1\r\n" % url.encode() + login(guard) + b"\r\n")
            each.recv(100)
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    for each in clients:
        with closing(each):
            rest_of(each)
    assert time.monotonic() - began < 1
    assert threading.active_count() <= before + 4, "only the source's own threads may linger"
    assert not [each for each in threading.enumerate() if each.name.startswith("egress")]


def test_its_end_does_not_wait_for_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, asked = threading.Event(), threading.Event()

    def addresses(*_: object) -> list[Found]:
        asked.set()
        answered.wait(30)
        return [Found(socket.AF_INET, "127.0.0.1", ("127.0.0.1", 9))]

    monkeypatch.setattr(resolve, "addresses", addresses)
    with Guard(EgressPolicy(allow=frozenset({("slow.example", 80)}))) as guard, closing(connected(guard)) as client:
        client.sendall(b"GET http://slow.example/ HTTP/1.1\r\n" + login(guard) + b"\r\n")
        assert asked.wait(5)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    left = [each for each in threading.enumerate() if each.name.startswith("egress")]
    answered.set()
    for each in left:
        each.join(5)
        assert not each.is_alive()


def test_its_end_does_not_wait_for_a_host_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with Guard(open_to(f"http://127.0.0.1:{address[1]}/")) as guard, closing(connected(guard)) as client:
            client.sendall(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\n" % address[1] + login(guard) + b"\r\n")
            time.sleep(0.2)
            began = time.monotonic()
        assert time.monotonic() - began < 0.5
        for each in waiting:
            each.close()


def test_a_client_that_leaves_ends_the_request_at_the_source(server: SourceServer) -> None:
    url = server.add("/slow.mp4", rate=100_000.0)
    with Guard(open_to(url)) as guard:
        with closing(connected(guard)) as client:
            client.sendall(b"GET %s HTTP/1.1\r\n" % url.encode() + login(guard) + b"\r\n")
            client.recv(100)
        time.sleep(0.5)
        sent = server.sent["/slow.mp4"]
        time.sleep(0.7)
        assert server.sent["/slow.mp4"] - sent <= 30_000
