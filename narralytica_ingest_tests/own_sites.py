"""Sites that only a test knows: extractors of its own for the real yt-dlp, in the test's process."""

from typing import Any

from narralytica_ingest.sources.ytdlp.downloader import Downloader


def knowing(*extractors: type) -> type[Downloader]:
    """A Downloader that asks these extractors (classes of yt-dlp's kind, named `…IE`) before all others."""
    known = {each.__name__.removesuffix("IE"): each for each in extractors}

    class Knowing(Downloader):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.__dict__["_ies"] = {**known, **self.__dict__["_ies"]}
            for each in known.values():
                self.add_info_extractor(each())

    return Knowing
