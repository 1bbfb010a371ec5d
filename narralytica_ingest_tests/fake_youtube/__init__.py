"""A YouTube of our own: the real yt-dlp asks a server on loopback, which answers as the site does.

`plugin/` is what yt-dlp loads, `loading` makes it do so, `material` are the media files, `service` what is answered.
"""

from narralytica_ingest_tests.fake_youtube.loading import in_subprocesses, in_this_process
from narralytica_ingest_tests.fake_youtube.material import make_material
from narralytica_ingest_tests.fake_youtube.service import FakeYoutube, caption_text

__all__ = ["FakeYoutube", "caption_text", "in_subprocesses", "in_this_process", "make_material"]
