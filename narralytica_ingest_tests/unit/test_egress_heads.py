"""The guard reads requests strictly, and changes nothing of an answer but how long its connection lasts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.egress.body import Answer, Chunked, Counted, Sieve
from narralytica_ingest.egress.head import BadRequest, parse_request, split_head

LOGIN = b"Proxy-Authorization: Basic abc\r\n"


def head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def test_a_plain_request_goes_on_in_origin_form_for_the_host_of_its_url() -> None:
    request = parse_request(
        head(
            b"POST http://Example.com:8080/a?b=c#d HTTP/1.1", b"Host: inside", b"Proxy-Authorization: Basic abc",
            b"Connection: keep-alive, X-Hop", b"Keep-Alive: 5", b"X-Hop: 1", b"TE: trailers", b"Upgrade: h2c",
            b"Proxy-Connection: keep-alive", b"Content-Length: 3", b"Accept:  */*  ",
        )
    )  # fmt: skip
    assert (request.host, request.port, request.length, request.login) == ("Example.com", 8080, 3, b"Basic abc")
    assert request.forwarded() == head(
        b"POST /a?b=c HTTP/1.1", b"Host: Example.com:8080", b"Content-Length: 3", b"Accept: */*", b"Connection: close"
    )
    assert request.forwarded(absolute=True, login=b"Basic xyz").splitlines()[0] == (
        b"POST http://Example.com:8080/a?b=c HTTP/1.1"
    )
    assert b"Proxy-Authorization: Basic xyz\r\n" in request.forwarded(absolute=True, login=b"Basic xyz")


@pytest.mark.parametrize(
    ("target", "host", "port", "path"),
    [
        (b"http://a", "a", 80, b"/"),
        (b"HTTP://a?x=1", "a", 80, b"/?x=1"),
        (b"http://a:81/http://b/", "a", 81, b"/http://b/"),
        (b"http://[::1]:82/", "::1", 82, b"/"),
        (b"http://[fe80::1%eth0]/", "fe80::1%eth0", 80, b"/"),
        (b"http://a./%2e%2e/", "a.", 80, b"/%2e%2e/"),
        (b"http://a/\xc3\xa9", "a", 80, b"/\xc3\xa9"),
        (b"http://\xef\xbc\x91.example/", "\uff11.example", 80, b"/"),
        (b"http://0x7f.1/", "0x7f.1", 80, b"/"),
    ],
)
def test_the_host_is_read_from_the_url_as_it_is_written(target: bytes, host: str, port: int, path: bytes) -> None:
    request = parse_request(head(b"GET " + target + b" HTTP/1.1"))
    assert (request.host, request.port, request.path) == (host, port, path)


def test_a_tunnel_names_host_and_port() -> None:
    request = parse_request(head(b"CONNECT [2001:db8::1]:443 HTTP/1.1"))
    assert (request.is_tunnel, request.host, request.port) == (True, "2001:db8::1", 443)


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1", b"GET /x HTTP/1.1", b"GET * HTTP/1.1", b"GET https://a/ HTTP/1.1", b"GET ftp://a/ HTTP/1.1",
        b"GET file:///etc/passwd HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET http://a:0/ HTTP/1.1",
        b"GET http://a:99999/ HTTP/1.1", b"GET http://a:/ HTTP/1.1", b"GET http://user@a/ HTTP/1.1",
        b"GET http://a\\@b/ HTTP/1.1", b"GET http://[::1/ HTTP/1.1", b"GET http://[::1%]/ HTTP/1.1",
        b"GET  http://a/ HTTP/1.1", b"GET http://a/ HTTP/1.1 ", b"GET http://a/ HTTP/2.0", b"GET http://a/", b"",
        b"GET http://a b/ HTTP/1.1", b"GET http://a/\x00 HTTP/1.1", b"G(T http://a/ HTTP/1.1",
        b"GET http://\xff/ HTTP/1.1",
        b"CONNECT a HTTP/1.1", b"CONNECT a:443/x HTTP/1.1", b"CONNECT http://a:443 HTTP/1.1", b"CONNECT a:b HTTP/1.1",
        b"CONNECT :443 HTTP/1.1", b"CONNECT a:443:443 HTTP/1.1", b"CONNECT u@a:443 HTTP/1.1",
    ],
)  # fmt: skip
def test_a_request_line_that_names_no_single_host_is_refused(bad: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(head(bad))


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 1", b"Transfer-Encoding: chunked"], [b"Content-Length: 1", b"Content-Length: 1"],
        [b"Content-Length: 1", b"Content-Length: 2"], [b"Content-Length: -1"], [b"Content-Length: +1"],
        [b"Content-Length: 1, 1"], [b"Content-Length: 0x1"], [b"Content-Length: "], [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: xchunked"], [b"Transfer-Encoding : chunked"], [b" folded: 1"], [b"no colon"], [b": none"],
        [b"A: b\rC: d"], [b"A: \x00"], [b"A\x00: b"], [b"A b: c"],
    ],
)  # fmt: skip
def test_a_body_or_header_that_can_be_read_in_two_ways_is_refused(fields: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        parse_request(head(b"POST http://a/ HTTP/1.1", *fields))


def test_a_tunnel_has_no_body() -> None:
    with pytest.raises(BadRequest):
        parse_request(head(b"CONNECT a:443 HTTP/1.1", b"Content-Length: 1"))


def test_http_1_0_has_no_chunks() -> None:
    with pytest.raises(BadRequest):
        parse_request(head(b"POST http://a/ HTTP/1.0", b"Transfer-Encoding: chunked"))


def test_a_head_ends_with_an_empty_line_and_in_no_other_way() -> None:
    whole = head(b"GET http://a/ HTTP/1.1", b"A: b")
    assert split_head(whole + b"body") == len(whole)
    assert all(split_head(whole[:cut]) is None for cut in range(len(whole)))
    for bad in (b"GET http://a/ HTTP/1.1\n\n", b"GET http://a/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n", b"\n"):
        with pytest.raises(BadRequest):
            split_head(bad)
    with pytest.raises(BadRequest) as raised:
        split_head(b"GET http://a/ HTTP/1.1\r\nA: " + b"b" * (64 << 10))
    assert raised.value.status == 431


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_request_or_is_refused(rubbish: bytes) -> None:
    try:
        request = parse_request(rubbish + b"\r\n\r\n")
    except BadRequest:
        return
    assert request.host
    assert b"\n" not in request.authority


# ---- bodies ----------------------------------------------------------------------------------------------------------


def passed(sieve: Sieve, data: bytes, cuts: list[int]) -> bytes:
    """What goes on of the data, however it is cut."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [bytes(sieve.take(memoryview(data)[a:b])) for a, b in pairwise(at)]
    return b"".join(pieces) + bytes(sieve.end())


CUTS = st.lists(st.integers(0, 1000), max_size=8)


@given(CUTS, st.integers(0, 20))
def test_of_a_body_with_a_length_so_much_goes_on_and_no_second_request(cuts: list[int], length: int) -> None:
    data = b"0123456789GET http://b/ HTTP/1.1\r\n\r\n"
    assert passed(Counted(length), data, cuts) == data[:length]


CHUNKS = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"


@given(CUTS)
def test_a_body_in_chunks_goes_on_to_its_end_and_no_second_request(cuts: list[int]) -> None:
    assert passed(Chunked(), CHUNKS + b"GET http://b/ HTTP/1.1\r\n\r\n", cuts) == CHUNKS


@pytest.mark.parametrize(
    "bad", [b"x\r\n", b"-3\r\nabc", b"3 abc\r\n", b"3\nabc", b"\r\n", b"F" * 16 + b"\r\n", b";" * 9999]
)
def test_what_is_no_chunk_goes_nowhere(bad: bytes) -> None:
    assert passed(Chunked(), bad + b"more", []) == b""


@given(CUTS)
def test_an_answer_says_that_its_connection_ends_and_is_unchanged_otherwise(cuts: list[int]) -> None:
    came = (
        b"HTTP/1.1 100 Continue\r\nConnection: keep-alive\r\n\r\n"
        b"HTTP/1.1 200  All right \r\nContent-Length: 99\r\nconnection : keep-alive\r\n folded\r\nKeep-Alive: 5\r\n"
        b'ETag:"x"\nProxy-Connection: x\r\nX: \xff\r\n\r\nHTTP/1.1 body\r\n\r\nConnection: keep-alive\r\n\r\n'
    )
    assert passed(Answer(), came, cuts) == (
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"
        b"HTTP/1.1 200  All right \r\nConnection: close\r\nContent-Length: 99\r\n"
        b'ETag:"x"\nX: \xff\r\n\r\nHTTP/1.1 body\r\n\r\nConnection: keep-alive\r\n\r\n'
    )


NO_ANSWERS = {
    "nothing": b"",
    "a beginning": b"HT",
    "a page": b"<html>no head</html>",
    "half a head": b"HTTP/1.1 200 OK\r\nA: b",
    "a head that is too large": b"HTTP/1.1 200 OK\r\nA: " + b"x" * (65 << 10) + b"\r\n\r\nbody",
    "an empty line": b"\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
}


@given(CUTS, st.sampled_from(sorted(NO_ANSWERS)))
def test_what_is_no_answer_passes_as_it_is(cuts: list[int], name: str) -> None:
    assert passed(Answer(), NO_ANSWERS[name], cuts) == NO_ANSWERS[name]
