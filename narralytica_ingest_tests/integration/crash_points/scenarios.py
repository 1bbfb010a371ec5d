"""What is killed: an ingestion from a URL, one more of a video that changed, one from an upload, and a deletion."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.sources.identity import identify_url
from narralytica_ingest_tests.integration.crash_points.laboratory import Scenario
from narralytica_ingest_tests.source_server import SourceServer
from narralytica_ingest_tests.source_server.streams import ffmpeg

# A little more than a part, so that the original is sent in two.
_LARGE = (8 << 20) + 1000
_PAGE = """<!DOCTYPE html><html><head><title>A talk</title><meta property="og:title" content="A talk"></head>
<body><video poster="{name}.jpg"><source src="{name}.mp4" type="video/mp4">
<track kind="subtitles" srclang="en" src="{name}.vtt"></video></body></html>"""
_VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\n{}\n"
_JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@dataclass(frozen=True)
class World:
    """The sources and services outside of the process that is killed."""

    server: SourceServer
    endpoints: Endpoints
    tools: MediaTools
    folder: Path

    def clip(self, start: float) -> bytes:
        """Two seconds of the sample from `start` on."""
        path = self.folder / f"{start}.mp4"
        ffmpeg(self.tools, "-ss", str(start), "-t", "2", "-c", "copy", "-fflags", "+bitexact", path)
        return path.read_bytes()

    def serve(self, name: str, clip: bytes, said: str = "Good morning.") -> str:
        """A page with the clip, a picture and captions; another call with its name changes what it serves."""
        self.server.add(f"/{name}.mp4", clip)
        self.server.add(f"/{name}.jpg", _JPEG, content_type="image/jpeg")
        self.server.add(f"/{name}.vtt", _VTT.format(said).encode(), content_type="text/vtt")
        page = _PAGE.format(name=name).encode()
        return self.server.add(f"/{name}", page, content_type="text/html; charset=utf-8")


def padded(clip: bytes) -> bytes:
    """The same video in a file that is large."""
    return clip + _LARGE.to_bytes(4, "big") + b"free" + bytes(_LARGE - 8)


def _from_a_url(world: World) -> Scenario:
    url = world.serve("url", padded(world.clip(0)))
    return Scenario("from_a_url", "ingest", {"source_url": url, "idempotency_key": "job"})


def _again(world: World) -> Scenario:
    """The picture stays as it was: old and new generation share its object."""
    url = world.serve("again", world.clip(0))
    return Scenario(
        "again",
        "ingest",
        {"source_url": url, "idempotency_key": "again", "force": True},
        before=[{"source_url": url, "idempotency_key": "first"}],
        change=lambda: world.serve("again", world.clip(5), "Good evening."),
    )


def _from_an_upload(world: World) -> Scenario:
    bucket = Settings.model_fields["s3_upload_bucket"].default
    make_client(world.endpoints.s3).put_object(Bucket=bucket, Key="talks/talk.mp4", Body=world.clip(3))
    return Scenario(
        "from_an_upload", "ingest", {"upload_ref": f"s3://{bucket}/talks/talk.mp4", "idempotency_key": "job"}
    )


def _deletion(world: World) -> Scenario:
    url = world.serve("deletion", world.clip(0))
    job = {"source_url": url, "idempotency_key": "job"}
    return Scenario("deletion", "delete", {"video_id": identify_url(url).video_id}, before=[job])


SCENARIOS: dict[str, Callable[[World], Scenario]] = {
    "from_a_url": _from_a_url,
    "again": _again,
    "from_an_upload": _from_an_upload,
    "deletion": _deletion,
}
