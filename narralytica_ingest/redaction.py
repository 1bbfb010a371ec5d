"""Other people's words, made safe to show: in a job's message, on a terminal, in the UI.

What belongs here: taking out of a stranger's text what must not be shown (links, credentials, addresses) and what a
terminal would obey. Pure.
"""

import re
from ipaddress import ip_address

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


def _without_address(found: re.Match[str]) -> str:
    word = found[0]
    for candidate in (word, word.rstrip(".:"), word.rpartition(":")[0]):  # the last: with a port
        try:
            ip_address(candidate)
        except ValueError:
            continue
        return "(address)"
    return word
