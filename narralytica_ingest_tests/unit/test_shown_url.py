"""A reference to a source as it may be shown: it says which video is meant, and opens nothing."""

import base64
import zlib

import pytest

from narralytica_ingest.egress import EgressPolicy, Guard
from narralytica_ingest.redaction import shown_url, without_keys
from narralytica_ingest_tests.canaries import Canaries, logins, opened

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMTIzNDU2Nzg5MA"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL0123456789ABCDEF",
        "https://example.com/a-very-long-title-of-a-talk-that-was-given-in-the-year-2026-in-vienna.mp4",
        "https://example.com/%D0%92%D0%B8%D0%B4%D0%B5%D0%BE%20%D0%BF%D1%80%D0%BE%20%D0%BA%D0%BE%D1%82%D0%B0",
        "https://example.com:8443/a/b.m3u8?quality=high&start=10",
        "s3://uploads/talks/42 (final).mp4",
        "s3://uploads/what?.mp4",
        "nothing",
        "http://[broken",
        "ftp://host/clip.mp4",
        "",
    ],
)
def test_what_opens_nothing_is_shown_as_it_is(url: str) -> None:
    assert shown_url(url) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:CANARY@host/v.mp4", "https://(hidden)@host/v.mp4"),
        ("https://CANARY@host/v.mp4", "https://(hidden)@host/v.mp4"),
        ("https://a@b:CANARY@host/v.mp4", "https://(hidden)@host/v.mp4"),
        ("//user:CANARY@host/v.mp4", "//(hidden)@host/v.mp4"),
        ("https://host/v?id=1&token=CANARY", "https://host/v?id=1&token=(hidden)"),
        ("https://host/v?id=1;token=CANARY", "https://host/v?id=1;token=(hidden)"),
        ("https://host/v?%74oken=CANARY", "https://host/v?%74oken=(hidden)"),
        ("https://host/v?X-Amz-Signature=CANARY", "https://host/v?X-Amz-Signature=(hidden)"),
        ("https://host/v?sig=CANARY&key=CANARY", "https://host/v?sig=(hidden)&key=(hidden)"),
        ("https://host/v;jsessionid=CANARY?a=1", "https://host/v;jsessionid=(hidden)?a=1"),
        ("https://host/v?to=https%3A%2F%2Fu%3ACANARY%40h", "https://host/v?to=(hidden)"),
        (f"https://host/v?h=CANARY{'x' * 70}", "https://host/v?h=(hidden)"),
        (f"https://host/{JWT}/v.m3u8", "https://host/(hidden)/v.m3u8"),
        (f"https://host/v?{JWT}", "https://host/v?(hidden)"),
        ("https://host/v#access_token=CANARY", "https://host/v"),
        ("s3://b/v.mp4?X-Amz-Credential=CANARY", "s3://b/v.mp4?X-Amz-Credential=(hidden)"),
        ("http:user:CANARY@host/v", "http:///(hidden)/v"),
        ("https:///user:CANARY@host/v", "https:///(hidden)/v"),
        ("http://user:CANARY@[half/", "(hidden)"),
    ],
)
def test_what_opens_something_is_hidden(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_what_is_kept_of_a_page_has_no_key_at_all() -> None:
    url = "https://user:CANARY@host/v?id=1&token=CANARY&%74oken=CANARY&key=of-the-video#t=3"
    assert without_keys(url) == "https://host/v?id=1&key=of-the-video"


@pytest.mark.parametrize("wrapped", [b"%s", b'"%s"', b"%%3A%s%%40", b"x\x00%s\xff"])
def test_the_search_for_canaries_finds_them_plain_and_encoded(wrapped: bytes) -> None:
    canaries = Canaries()
    word = canaries.new("one").encode()
    said = wrapped % word
    for content in (
        said,
        b"Basic " + base64.b64encode(b"user:" + said),
        base64.urlsafe_b64encode(b"\xff\xfe" + said + b"more"),
        b"\\x" + said.hex().encode(),
        b"then " + zlib.compress(said),
        base64.b64encode(zlib.compress(said * 9)),
    ):
        assert len(canaries.leaks({"here": content})) == 1, content
    assert not canaries.leaks({"here": b"".join(opened(b"nothing of it"))})


def test_the_search_for_logins_finds_urls_with_passwords() -> None:
    found = logins({"here": b"see http://user:word@127.0.0.1:3 and http://(hidden)@host and postgresql://u:***@h"})
    assert len(found) == 1
    assert "user:word" in found[0]
    with Guard(EgressPolicy(), None) as guard:
        sent = base64.b64encode(guard.login.encode())
        assert len(logins({"here": b"Proxy-Authorization: Basic " + sent, "there": guard.url.encode()})) == 2
