"""Words that strangers choose for titles, tags and names, so that whoever shows or stores them does more than that.

What belongs here: the words, and what must never be in something that is shown.
"""

import unicodedata
from typing import Any

MARK = "CANARY"
"""Stands in each word, so that it is found wherever it went."""


def words(url: str) -> list[str]:
    """One of each kind; `url` is a server that must not be asked."""
    return [
        f"../../../etc/{MARK}",
        f"..\\..\\{MARK}",
        f"/etc/{MARK}",
        f"~/{MARK}",
        f"$(touch {MARK})",
        f"`touch {MARK}`",
        f"; touch {MARK} &",
        f"| touch {MARK}",
        f"-rf --{MARK}",
        f"'; DROP TABLE ingest_jobs; -- {MARK}",
        f'"}}; {MARK} {{"',
        f"{MARK}\0after",
        f"{MARK}\ud800half",
        f"{MARK}\u202egpj.exe\u202c",
        f"{MARK}\u2066\u2067\u2069",
        f"{MARK}\u200b\u2060\ufeff\u00ad",
        f"{MARK}\U000e0041\U000e0042",
        f"\x1b[31m{MARK}\x1b[2J",
        f"\x1b]8;;{url}/osc8\x1b\\{MARK}\x1b]8;;\x1b\\",
        f"\x1b]52;c;Y2FuYXJ5\x07{MARK}",
        f"\x1bP+q{MARK}\x1b\\",
        f"\x9b31m{MARK}\x9d52;c;aGk=\x9c\x90q\x9c",
        f"{MARK}\a\b\b\x7f",
        f"harmless\rERROR {MARK}",
        f"line\n2026-01-01 00:00:00 ERROR dagster - {MARK}\u2028\u2029\x85\x0b\x0c",
        f"<script>fetch('{url}/script-{MARK}')</script>",
        f"<img src={url}/img-{MARK} onerror=alert(1)>",
        f"<svg/onload=fetch('{url}/svg-{MARK}')>",
        f"<iframe src='{url}/frame-{MARK}'></iframe>",
        f"![{MARK}]({url}/markdown.png)",
        f"[{MARK}](javascript:alert(1))",
        f"[{MARK}][1]\n\n[1]: {url}/reference",
        f"| {MARK} | x |\n|---|---|\n| ![x]({url}/table.png) | y |",
        f"&lt;img src={url}/entity&gt; &#x202e; {MARK}",
        f"javascript:alert('{MARK}')",
        f"{{{{{MARK}}}}} {{% include '/etc/passwd' %}} ${{7*7}} #{{7*7}}",
        f"%s%s%n %(password)s {{0.__class__}} {MARK}",
        f"[bold red]{MARK}[/bold red] [link={url}/rich]x[/link]",
        f'=HYPERLINK("{url}/sheet","{MARK}")',
        f"__proto__ constructor {MARK}",
        f"{MARK}" + "\u0301" * 500,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 40 + MARK,
        f"NaN Infinity 1e400 -0 {10**400} {MARK}",
        "A" * 3_000 + MARK,
    ]


def unshowable(shown: str, allowed: str = "\n") -> set[str]:
    """The characters in something shown that a terminal obeys, or that turn around or hide what is beside them."""
    joiners = "\u200c\u200d"  # some scripts and emoji are written with them
    odd = set(shown) - set(allowed + joiners)
    return {each for each in odd if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")}


def nested(depth: int) -> Any:
    """Lists in lists."""
    found: Any = MARK
    for _ in range(depth):
        found = [found]
    return found
