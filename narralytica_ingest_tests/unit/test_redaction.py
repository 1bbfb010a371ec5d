"""What strangers say is shown without what must not be shown."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.redaction import safe_words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Nothing to hide: it ended at 12:30:45.", "Nothing to hide: it ended at 12:30:45."),
        ("Version 2026.10.26 of 1.2.3", "Version 2026.10.26 of 1.2.3"),
        ("Got https://x.example/v?sig=secret, then ended", "Got (URL) then ended"),
        ("rtmp://host/secret", "(URL)"),
        ("data:text/html;base64,secret", "(URL)"),
        ("www.example.com/secret", "(URL)"),
        (
            "Max retries exceeded with url: /secret/path (Caused by x)",
            "Max retries exceeded with url: (URL) (Caused by x)",
        ),
        ("at /videoplayback?expire=1&sig=secret it ended", "at (URL) it ended"),
        ("Proxy bob:secret@host:3128 failed", "Proxy (credentials) failed"),
        ("Cookie: SID=secret; HSID=secret", "Cookie: (hidden)"),
        ("set-cookie: SID=secret", "set-cookie: (hidden)"),
        ("Authorization: Bearer secret", "Authorization: (hidden)"),
        ("sent bearer secretsecret to it", "sent bearer (hidden) to it"),
        ("po_token=secret and session_id=secret", "po_token=(hidden) and session_id=(hidden)"),
        ("key AbCdEf0123456789AbCdEf0123456789AbCdEf0123456789 refused", "key (hidden) refused"),
        ("Your address 203.0.113.7 is blocked", "Your address (address) is blocked"),
        ("from 203.0.113.7:3128.", "from (address)."),
        ("from 2001:db8::7 and [2001:db8:0:0:0:0:0:7]:443", "from (address) and [(address)]:443"),
        ("through ::1", "through (address)"),
        ("\x1b[31mred\x1b[0m \x1b]0;owned\x07title \x1b]8;;x\x1b\\link\x1bc", "red title link"),
        ("line\r\nfeed\ttab\x00nul\x9b1mcsi\u202ebidi", "line feed tab nul 1mcsi bidi"),
        ("", ""),
        ("abcdef ghi", "abcdef…"),
    ],
)
def test_words_are_shown_without_what_must_not_be(text: str, shown: str) -> None:
    limit = 8 if shown.endswith("…") else 400
    assert safe_words(text, limit) == shown


@given(st.text(), st.integers(20, 400))
def test_any_text_becomes_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    line = safe_words(text, limit)
    assert line.isprintable()
    assert len(line) <= limit


@pytest.mark.parametrize("piece", ["x", "x:", "x?", "x=", "1.", "1:", "\x1b]", "a@", "://", " ", "cookie ", "url: /"])
def test_a_hostile_text_costs_no_time(piece: str) -> None:
    started = time.perf_counter()
    safe_words(piece * 100_000, 400)
    assert time.perf_counter() - started < 0.5
