"""Other people's words, made safe to show: in a job's message, on a terminal, in the UI.

What belongs here: taking out of a stranger's text what must not be shown (links, credentials, addresses), what a
terminal would obey, and what neither a database nor UTF-8 can hold. Pure.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

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
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
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
