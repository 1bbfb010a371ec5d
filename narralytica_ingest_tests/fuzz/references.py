"""What a job refers to, and what it wishes: addresses, uploads, hosts, options."""

import contextlib
import ipaddress
import json
import posixpath
import re
from functools import partial
from urllib.parse import unquote, urlsplit
from uuid import UUID

from narralytica_ingest.config import Settings
from narralytica_ingest.egress import addresses
from narralytica_ingest.egress.policy import parse_allow, parse_hosts, parse_ports, same_host
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.intake import JobOptions, job_options
from narralytica_ingest.resources.fetch_options import fetch_options
from narralytica_ingest.sources.identity import alias_of, identify_upload, identify_url, only_video, revealed_alias
from narralytica_ingest.sources.upload_area import UploadArea
from narralytica_ingest.store.dispatch import NewJob
from narralytica_ingest_tests.fuzz.material import Material, attempt, in_time

_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_AREA = UploadArea("uploads", "talks", reserved="media")
_OPTIONS = [*JobOptions.model_fields]


def identity(data: bytes) -> None:
    """A URL is one video or a permanent failure; what is to be fetched is that video again, at the host that counts."""
    given = Material(data)
    url = given.text()
    with in_time():
        found = attempt(lambda: identify_url(url))
    if isinstance(found, IngestError):
        assert (found.failure_class, found.code in ("blocked_scheme", "invalid_url")) == (FailureClass.PERMANENT, True)
        return
    assert _VIDEO_ID.fullmatch(found.video_id), found
    assert found.source_url is not None
    assert found.upload_ref is None
    parts = urlsplit(found.source_url)
    assert parts.scheme in ("http", "https"), found
    assert found.host, found
    assert (parts.hostname or "").rstrip(".") == found.host, found
    assert identify_url(found.source_url) == found, found
    with in_time():
        alias = alias_of(given.text() or "x", given.text())
        assert _VIDEO_ID.fullmatch(alias), alias
        revealed_alias("Generic", given.text(), url)
        only_video(found.video_id, found.source_url, alias)


def uploads(data: bytes) -> None:
    """A reference leads below the prefix of the bucket, however a server reads its key, or nowhere."""
    given = Material(data)
    ref, version = given.text(), given.text()
    for each in (ref, f"s3://uploads/{ref}", f"s3://uploads/talks/{ref}"):
        place = attempt(partial(_AREA.locate, each))
        if isinstance(place, IngestError):
            assert place.failure_class is FailureClass.PERMANENT, place
            assert place.code in ("invalid_upload_ref", "upload_not_allowed"), place
            continue
        bucket, key = place
        assert bucket == "uploads"
        read = key
        for _ in range(6):
            assert f"{posixpath.normpath(read)}/".startswith("talks/"), read
            read = unquote(read).replace("\\", "/")
        assert len(key.encode()) <= 1024
        found = identify_upload(each, version, "uploads", "talks")
        assert _VIDEO_ID.fullmatch(found.video_id)
        assert found.upload_ref == f"s3://{bucket}/{key}"
        assert identify_upload(found.upload_ref, version, "uploads", "talks") == found


def egress(data: bytes) -> None:
    """No address passes that is not public by Python's own tables, too; hosts have one spelling."""
    given = Material(data)
    written, packed = given.text(), given.rest()[:16].ljust(16, b"\0")
    for each in (written, str(ipaddress.IPv4Address(packed[:4])), str(ipaddress.IPv6Address(packed))):
        if addresses.reason(each) is None:
            parsed = ipaddress.ip_address(each)
            assert parsed.is_global, each
            assert not parsed.is_multicast, each
            assert not parsed.is_reserved, each
            assert isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is parsed.sixtofour is None, each
    text = Material(data).text()
    with in_time():
        host = same_host(text)
        if re.fullmatch(r"[a-z0-9._:-]*", host):  # nothing else is looked up
            assert same_host(host) == host, (text, host)
        with contextlib.suppress(ValueError):
            parse_hosts(text)
        with contextlib.suppress(ValueError):
            assert all(0 < port < 65_536 for port in parse_ports(text)), text
        with contextlib.suppress(ValueError):
            assert all(0 < port < 65_536 for _, port in parse_allow(text)), text


def options(data: bytes) -> None:
    """Options are typed and bounded, or the job fails as `invalid_options`: as text, and as JSON of the right names."""
    given = Material(data)
    wishes = given.facts(_OPTIONS, 2)
    for text in (given.text(), json.dumps(wishes)):
        job = NewJob(UUID(int=1), 0, "http://host/", None, given.text(), given.text(), given.text(), text)
        with in_time():
            taken = attempt(partial(job_options, job))
        if isinstance(taken, IngestError):
            assert taken.code == "invalid_options", taken
            assert len(taken.message) < 2000, taken
            continue
        video = {"options": json.loads(text), "source_url": "http://host/clip.mp4"}
        chosen = fetch_options(Settings.model_construct(), video)
        assert chosen.max_bytes <= Settings.model_fields["max_bytes"].default
        assert chosen.max_duration is not None
        assert 0 < chosen.max_duration <= Settings.model_fields["max_duration_seconds"].default
        assert 0 < chosen.max_entries <= Settings.model_fields["playlist_limit"].default
        assert taken.format is None or "~=" not in taken.format
