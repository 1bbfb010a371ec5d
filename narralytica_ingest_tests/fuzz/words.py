"""Other people's words: whatever they say, no secret survives and no terminal obeys."""

import contextlib

from narralytica_ingest.redaction import MOST_CHARACTERS, safe_words, shown_url, without_keys
from narralytica_ingest_tests.fuzz.material import Material, in_time

CANARY = "Zq7Canary9wX"

# How a secret comes into a message. A stranger's text stands before and behind it.
_SECRETS = (
    f"https://user:{CANARY}@host/",
    f"https://host/?token={CANARY}",
    f"HTTP://host/{CANARY}",
    f"rtmps://host/{CANARY}",
    f"data:text/plain,{CANARY}",
    f"www.example.com/{CANARY}",
    f"Cookie: session={CANARY}",
    f"Set-Cookie: a=b; c={CANARY}",
    f"Authorization: Bearer {CANARY}",
    f"Bearer {CANARY}",
    f"access_token={CANARY}",
    f"password={CANARY}",
    f"X-Amz-Signature={CANARY}",
    f"user:{CANARY}@host",
    f"host/path?sig={CANARY}",
)
_OPENING = ("token", "sig", "X-Amz-Signature", "password", "auth", "api_key", "%74oken", "hdnea", "Policy")


def redaction(data: bytes) -> None:
    """One printable line within the limit, without the secret, and without what a terminal obeys."""
    given = Material(data)
    secret, limit = given.pick(_SECRETS), 1 + given.byte()
    before, behind = given.text(), given.text()
    with in_time():
        said = safe_words(f"{before} {secret} {behind}", limit)
    assert CANARY not in said, said
    assert len(said) <= limit, said
    assert said.isprintable(), said
    assert safe_words(said, limit).isprintable()
    if limit % 8 == 0:  # it takes a while
        with in_time():
            assert len(safe_words((before + behind + " ") * 200, MOST_CHARACTERS)) <= MOST_CHARACTERS


def shown_urls(data: bytes) -> None:
    """What opens a URL is neither stored nor shown, and no URL breaks whoever shows it."""
    given = Material(data)
    opens, host, path, rest = given.pick(_OPENING), given.text(), given.text(), given.text()
    plain = "".join(each for each in path if each not in "?#")
    with in_time():
        for url in (host, f"https://{host}/{plain}?a=b&{opens}={CANARY}&{rest}", f"https://user:{CANARY}@host/{plain}"):
            shown = shown_url(url)
            assert CANARY not in shown, shown
            with contextlib.suppress(ValueError):
                kept = without_keys(url)
                assert CANARY not in kept, kept
