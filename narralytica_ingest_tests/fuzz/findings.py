"""Inputs that once broke something, by target: tried in every run of the tests, and the beginning of every corpus.

Each is ASCII, which means itself, or says a character by 0xfe and its number; 0xff ends a text (see `material.py`).
"""

from narralytica_ingest.metadata.corrections import FIELDS

_AGE_LIMIT = bytes([FIELDS.index("age_limit")])
_TAGS = bytes([FIELDS.index("tags")])

FINDINGS: dict[str, tuple[bytes, ...]] = {
    "identity": (
        b"http://www.youtube.com/signin?next=http://[",  # a link within the link raised ValueError
        b"https://vimeo.com/" + b"1" * 300,  # an id that no table takes
        b"http://host/a\xfe\x00\x00\x85?",  # what is fetched was another video than what was asked for
        b"http://host\xfe\x00\x30\x02/",  # another full stop at the end of a host's name
        b"http://host/\xff" + b"a" * 300 + b"\xff#",  # the name of a source that is too long for a table
    ),
    "egress": (b"B\xfe\x00\x30\x02",),  # two spellings of one host
    "options": (b'\x00{"audio_languages": ["' + b"x" * 3000 + b'"]}',),  # a message of any length
    "normalization": (b"\xff\xff\xff\xff555\xff\xff\n\xff\xff\x01\n",),  # a list that is none
    "corrections": (
        _AGE_LIMIT + b"9" * 5000,  # more digits than Python reads
        _AGE_LIMIT + b"2\x1e",  # a blank to one reader and not to another
        _TAGS + b"[" * 3000,  # deeper than Python reads
    ),
    "remote_file": (
        b"\x01\xff\x00\x010\xff",  # an empty ETag for a proof
        b"\n000000\x1f1",  # a blank to one reader and not to another
    ),
    "checkpoint": (bytes(9) + b"[" * 3000 + b"\xff\x00",),  # the same
}
