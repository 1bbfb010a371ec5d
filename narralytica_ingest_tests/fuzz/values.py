"""What sources, files and people state about a video."""

import json
import math
from datetime import datetime
from typing import Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.metadata import corrections as stated
from narralytica_ingest.metadata.columns import BY_NAME, NAMES
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.sources.captions import wanted_captions
from narralytica_ingest.sources.formats import audio_languages, offered_to, spoken_language
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest_tests.fuzz.material import Material, attempt, in_time, words_of
from narralytica_ingest_tests.fuzz.words import CANARY

_INFO = words_of("""
title description channel channel_id channel_url uploader uploader_id uploader_url language timestamp upload_date
release_timestamp release_date tags categories chapters start_time end_time license thumbnail webpage_url
original_url webpage_url_domain age_limit live_status was_live view_count like_count duration width height fps tbr
vbr abr asr vcodec acodec dynamic_range filesize filesize_approx ext audio_channels extractor_key url data protocol
format_id format_note language_preference source_preference has_drm
""")
_PROBE = words_of("""
tags video audio raw streams chapters duration_seconds codec rotation index default language title date
creation_time keywords artist codec_type side_data_list side_data_type color_transfer bit_rate width frame_rate
channels dynamic_range start_time end_time
""")


def normalization(data: bytes) -> None:
    """Whatever is stated becomes a row of the table: every column there, every value within its bounds, or None."""
    given = Material(data)
    read = Reading(
        "web-x",
        source=given.text(),
        source_id=given.text(),
        info=given.json(_INFO),
        probe=given.json(_PROBE),
        hints=given.json(("title", "channel", "language")),
        file_name=given.text() or None,
        size_bytes=given.pick((None, 0, 5, 2**62)),
        spoken=given.text(),
    )
    with in_time(3):  # the first language loads the registry
        row = normalize(read)
    assert tuple(row) == tuple(NAMES)
    for name, value in row.items():
        column = BY_NAME[name]
        _storable(value)
        if isinstance(value, str):
            assert column.longest is None or len(value) <= column.longest, (name, value)
            assert not column.one_of or value in column.one_of, (name, value)
        elif isinstance(value, int | float):
            assert math.isfinite(value), (name, value)
            assert column.least is None or value >= column.least, (name, value)
            assert column.below is None or value < column.below, (name, value)
        elif isinstance(value, datetime):
            assert value.tzinfo is not None, (name, value)


def corrections(data: bytes) -> None:
    """A correction is a value that the table takes, or refused with words."""
    given = Material(data)
    field, said = given.pick((*stated.FIELDS, "lease_epoch", "")), given.text()
    with in_time(3):
        found = attempt(lambda: stated.parse([f"{field}={said}"]))
    if isinstance(found, IngestError):
        assert found.code == "invalid_correction", found
        return
    assert list(found) == [field]
    _storable(found[field])


def source_info(data: bytes) -> None:
    """What is kept of an extraction is JSON, and no request's headers, cookies, or keys are among it."""
    given = Material(data)
    secrets = {
        "http_headers": {"Cookie": CANARY},
        "cookies": CANARY,
        "_request": CANARY,
        "fragments": [{"url": CANARY}],
    }
    info = _extracted(given) | secrets
    for each in info["requested_formats"] or ():
        each.update(secrets, url=CANARY)
    with in_time():
        kept = kept_info(info, frozenset({1773480413}))
    assert CANARY not in json.dumps(kept)
    _storable(kept)


def captions(data: bytes) -> None:
    """Captions that are wanted have a language that can be shown, and offers that can be fetched."""
    given = Material(data)
    info, spoken = _extracted(given), given.pick((None, "en", given.text()))
    with in_time():
        wanted = list(wanted_captions(info, spoken, uploaded=True, automatic=True))
    for each in wanted:
        assert each.language.isprintable()
        assert len(each.language) <= 80
        assert each.offers


def formats(data: bytes) -> None:
    """Whatever formats a source offers, some are chosen of, or it is said that the original sound is missing."""
    given = Material(data)
    offered = _formats(given)
    selector = given.pick((None, given.text()))
    with in_time():
        audio_languages(offered)
        spoken_language({"formats": offered, "requested_formats": offered[:2]})
        chosen = attempt(lambda: offered_to(selector, offered))
    if isinstance(chosen, IngestError):
        assert chosen.code == "original_audio_missing", chosen
        return
    assert all(any(each is one for one in offered) for each in chosen)


def _extracted(given: Material) -> dict[str, Any]:
    """What yt-dlp hands over: formats and captions have the structure that it relies on itself, all else may be
    anything."""
    info = given.facts(_INFO)
    for name in ("formats", "requested_formats"):
        info[name] = given.pick((None, _formats(given)))
    for name in ("subtitles", "automatic_captions"):
        languages = [given.pick((given.text(), "de-orig", "en", "live_chat")) for _ in range(given.byte() % 4)]
        info[name] = given.pick((None, {each: [given.facts(_INFO, 1) for _ in range(2)] for each in languages}))
    return info


def _formats(given: Material) -> list[dict[str, Any]]:
    return [{**given.facts(_INFO, 1), "format_id": given.text()} for _ in range(given.byte() % 5)]


def _storable(value: Any) -> None:
    """Postgres and UTF-8 take it, and no terminal obeys it."""
    if isinstance(value, str):
        assert "\0" not in value, value
        value.encode()
    elif isinstance(value, dict):
        for name, each in value.items():
            _storable(name)
            _storable(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _storable(each)
