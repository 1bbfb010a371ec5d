"""The videos of a chaos run: where they come from, what their sources have served, and jobs for them in many spellings.

Every one is made from the bundled clip and has bytes of its own (a free atom with random bytes changes nothing else),
so that an object tells whose it is, and which version. Every other version is less loud, so that a track tells of which
original it was made.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.fake_youtube import FakeYoutube, in_subprocesses, make_material
from narralytica_ingest_tests.source_server import SAMPLE, Resource, SourceServer
from narralytica_ingest_tests.source_server.streams import ffmpeg

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1 << 20
HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 9))
FETCH_SECONDS = 5.0  # how long a download takes when nothing happens
# Beside plain files: some large enough for an upload in parts, some whose server sends neither ETag nor date, some with
# the bytes of the video before, some of a site that sends picture and sound apart, some uploads.
KINDS = ("file", "large", "file", "youtube", "plain", "file", "twin", "file", "upload", "large", "plain", "file")


@dataclass
class Video:
    """A video of the run. `resource` is its file at the source, where it has one of its own; `served` are the SHA-256
    of the versions that the source ever had."""

    number: int
    kind: str
    spellings: tuple[str, ...]
    resource: Resource | None = None
    path: str = ""
    server: SourceServer | None = None
    served: list[str] = field(default_factory=list)
    ingested_anew: int = 0  # how often a second original was asked for: by force, or after a delete
    deleted: int = 0

    @property
    def column(self) -> str:
        """The column of the job table that names its source."""
        return "upload_ref" if self.kind == "upload" else "source_url"

    @property
    def swappable(self) -> bool:
        """Whether its bytes are its own."""
        return self.kind in ("file", "large", "plain")


@dataclass(frozen=True)
class Web:
    """The hosts of the sources, one of them YouTube, and the clip with less loud sound."""

    servers: list[SourceServer]
    youtube: FakeYoutube
    quiet: Path


class Library:
    """Makes the videos, each the same whenever the seed is."""

    def __init__(self, seed: int, web: Web, client: "S3Client", bucket: str) -> None:
        self.videos: list[Video] = []
        self.quiet: set[str] = set()  # the SHA-256 of originals with the less loud sound
        self._clips = (SAMPLE.read_bytes(), web.quiet.read_bytes())
        self._seed, self._servers, self._youtube = seed, web.servers, web.youtube
        self._client, self._bucket = client, bucket

    def add(self) -> Video:
        """The next video, which its source serves from now on."""
        number = len(self.videos)
        kind = KINDS[number % len(KINDS)]
        if kind == "youtube":
            video = self._of_youtube(number)
        elif kind == "upload":
            video = self._upload(number)
        else:
            video = self._file(number, kind)
        self.videos.append(video)
        return video

    def swap(self, video: Video) -> None:
        """Other bytes of the same size take the place of those that the source has."""
        assert video.resource is not None
        body = self._body(video.number, len(video.served), video.kind)
        video.served.append(_sha256(body))
        video.resource.bodies = [body]

    def calm(self) -> None:
        """All sources behave from now on, and are as fast as they can be."""
        for video in self.videos:
            if video.resource is not None:
                video.resource.rate, video.resource.statuses = None, [200]

    def of_url(self, url: str) -> Video | None:
        """The video that a job's source names."""
        return next((video for video in self.videos if url in video.spellings), None)

    def _file(self, number: int, kind: str) -> Video:
        server, path = self._servers[number % len(self._servers)], f"/chaos/{number}.mp4"
        whose, like = (number - 1, KINDS[(number - 1) % len(KINDS)]) if kind == "twin" else (number, kind)
        body = self._body(whose, 0, like)
        proofs = kind != "plain"
        url = server.add(path, body, rate=len(body) / FETCH_SECONDS, etag=proofs, dated=proofs)
        spellings = (url, url.replace("http:", "HTTP:"), *(f"{url}?utm_source=friend{n}" for n in range(4)))
        spellings += tuple(f"{url}#t={n}" for n in range(4))
        return Video(number, kind, spellings, server.resources[path], path, server, [_sha256(body)])

    def _of_youtube(self, number: int) -> Video:
        name = f"chaos{number:06d}"
        picture = self._youtube.file("picture-1080.mp4")
        url = self._youtube.add_video(name, media={"rate": len(picture) / FETCH_SECONDS})
        shapes: tuple[str, ...] = (
            "https://youtu.be/{}",
            "https://www.youtube.com/shorts/{}",
            "https://m.youtube.com/watch?v={}",
        )
        shapes += ("https://www.youtube.com/embed/{}", "https://www.youtube.com/live/{}")
        shapes += ("https://music.youtube.com/watch?v={}", "https://youtu.be/{}?si=x")
        shapes += ("https://www.youtube.com/watch?v={}&t=9", "https://www.youtube.com/watch?v={}&feature=share")
        return Video(number, "youtube", (url, *(shape.format(name) for shape in shapes)))

    def _upload(self, number: int) -> Video:
        body, key = self._body(number, 0, "upload"), f"chaos/{number}.mp4"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        ref = f"s3://{self._bucket}/{key}"
        return Video(number, "upload", (ref, ref.replace("s3:", "S3:")), served=[_sha256(body)])

    def _body(self, number: int, version: int, kind: str) -> bytes:
        random_ = random.Random(f"{self._seed} {number}")
        size = random_.randrange(10 * MIB, 12 * MIB) if kind == "large" else random_.randrange(3 * MIB, 5 * MIB)
        clip = self._clips[version % 2]
        extra = random.Random(f"{self._seed} {number} {version}").randbytes(size - len(clip))
        body = clip + (8 + len(extra)).to_bytes(4, "big") + b"free" + extra
        if version % 2:
            self.quiet.add(_sha256(body))
        return body


@contextmanager
def the_web(folder: Path) -> Iterator[Web]:
    """Serves it. Processes that are started within the block take one of its hosts for YouTube."""
    (folder / "material").mkdir(parents=True)
    ffmpeg(find_tools(), "-c:v", "copy", "-af", "volume=0.5", "-c:a", "aac", folder / "quiet.mp4")
    with ExitStack() as stack:
        servers = [stack.enter_context(SourceServer(host=host)) for host in HOSTS]
        youtube = FakeYoutube(servers[0], make_material(folder / "material", find_tools()))
        stack.enter_context(in_subprocesses(servers[0].url("")))
        yield Web(servers, youtube, folder / "quiet.mp4")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
