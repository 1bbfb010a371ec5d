"""Other people's words, made safe to show: in a job's message, on a terminal, in the UI.

What belongs here: taking out of a stranger's text what must not be shown (links, credentials, addresses), what a
terminal would obey, and what neither a database nor UTF-8 can hold; and out of a URL what opens it. Pure.
"""

import re
import unicodedata
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

MOST_CHARACTERS = 4000  # of a text are looked at; so much below it is shown that nothing is cut within a secret
_LONGEST_WORD = 200

# Escape sequences of terminals: colours and cursors, titles and links, and all other two-character ones.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?", re.DOTALL)

# From what says most about itself to what merely looks like a secret.
_HIDDEN = [
    (re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]{0,20}://|data:|www\.)\S+"), "(URL)"),
    (re.compile(r"(?i)\burl: /\S*"), "url: (URL)"),
    (re.compile(r"(?i)\b((?:set-)?cookie|(?:proxy-)?authorization)\s*:.*"), r"\1: (hidden)"),
    (re.compile(r"\S+\?\S*=\S*"), "(URL)"),
    (re.compile(r"\S+:\S+@\S+"), "(credentials)"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.+/=~-]{8,}"), r"\1 (hidden)"),
    (re.compile(r"(?i)\b(\w*(?:token|secret|passw(?:or)?d|signature|session|cookie|key|auth)\w*)=\S+"), r"\1=(hidden)"),
    (re.compile(r"[\w+/=%~.-]{40,}"), "(hidden)"),  # no word is that long: a token, a signature, a hash
]
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # some scripts and emoji need them
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# Names of query parameters that open what they are attached to.
_KEY = re.compile(
    r"(?i)(?:lsig|sig|\w*signature|signed|hmac|policy|key-pair-id|api_?key|pass\w*|\w*secret|\w*token|auth\w*|session(?:_?id)?"
    r"|hdn(?:ea|ts|tl)|x-(?:amz|goog|oss|cos|bce)-.*)"
)
# More of them, which may as well tell which video it is: not shown, but kept where they make the difference.
_MAY_BE_KEY = re.compile(
    r"(?i)(?:\w*(?:key|sig|jwt|cookie|credentials?|session_?(?:id)?|login|sid)|pwd?|pin|otp|code|ticket|nonce|bearer)"
)
_OPAQUE = re.compile(r"(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w.=~+-]{32,}")  # as random keys look, and titles do not
_LONGEST_VALUE = 64
_HIDDEN_WORD = "(hidden)"
_MAY_BE_ADDRESS = re.compile(r"[0-9a-fA-F]{0,4}[.:][0-9a-fA-F.:]*[0-9a-fA-F:]")


def safe_words(text: str, limit: int) -> str:
    """The text as one line of at most `limit` characters, printable, without links, credentials and addresses."""
    plain = _ESCAPES.sub("", text[:MOST_CHARACTERS])
    printable = "".join(each if each.isprintable() else " " for each in plain)
    line = " ".join(word if len(word) <= _LONGEST_WORD else "(hidden)" for word in printable.split())
    for pattern, instead in _HIDDEN:
        line = pattern.sub(instead, line)
    line = _MAY_BE_ADDRESS.sub(_without_address, line)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def without_keys(url: str) -> str:
    """The URL without what opens it: a login, a signature, a token. Raises ValueError where it is none."""
    parts = urlsplit(url)
    query = "&".join(pair for pair in parts.query.split("&") if not _KEY.fullmatch(_name(pair)))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query, fragment=""))


def shown_url(url: str) -> str:
    """The reference to a source (a URL, `s3://bucket/key`, or whatever somebody wrote) as it may be shown.

    A login, the values of parameters that may open something, and what looks like a random key give way to
    `(hidden)`; a fragment, which no server gets, is left out. What else there is stays, so that a person knows which
    video is meant.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return _HIDDEN_WORD if re.search("[@?=]", url) else url
    path = "/".join(map(_shown_segment, parts.path.split("/")))
    query = "".join(map(_shown_pair, re.split("([&;])", parts.query)))
    return urlunsplit(SplitResult(parts.scheme, _shown_host(parts.netloc), path, query, ""))


def _shown_host(netloc: str) -> str:
    login, at, host = netloc.rpartition("@")
    return f"{_HIDDEN_WORD}@{host}" if at and login else host


def _shown_segment(segment: str) -> str:
    """A part of the path, which may have parameters of its own: `clip.mp4;token=…`."""
    name, *parameters = segment.split(";")
    shown = _HIDDEN_WORD if ("@" in name and ":" in name) or _OPAQUE.fullmatch(name) else name
    return ";".join([shown, *map(_shown_pair, parameters)])


def _shown_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return _HIDDEN_WORD if _OPAQUE.fullmatch(name) else pair
    plain = unquote(value)
    opens = _KEY.fullmatch(_name(pair)) or _MAY_BE_KEY.fullmatch(_name(pair)) or _OPAQUE.fullmatch(plain)
    return f"{name}={_HIDDEN_WORD}" if opens or "://" in plain or len(plain) > _LONGEST_VALUE else pair


def _name(pair: str) -> str:
    """The name in `name=value`, however it is spelled."""
    return unquote(pair.partition("=")[0]).strip()


def visible(text: str) -> str:
    """The text on one line, with whatever a terminal might obey, or that turns around or hides what is beside it,
    written out as an escape (`\\u202e`)."""
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    if character in _JOINERS or unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()


def storable(value: Any) -> Any:
    """The value, ready for JSON, with texts that UTF-8 and Postgres can hold: sites cut titles in the middle of an
    emoji, which leaves half a character, and Postgres takes no NUL."""
    if isinstance(value, str):
        return _HALF_CHARACTER.sub("\ufffd", value.replace("\0", "")) if _UNSTORABLE.search(value) else value
    if isinstance(value, Mapping):
        return {storable(name): storable(each) for name, each in value.items()}
    return [storable(each) for each in value] if isinstance(value, list | tuple) else value


def _without_address(found: re.Match[str]) -> str:
    word = found[0]
    for candidate in (word, word.rstrip(".:"), word.rpartition(":")[0]):  # the last: with a port
        try:
            ip_address(candidate)
        except ValueError:
            continue
        return "(address)"
    return word
