"""What is behind an exception of yt-dlp: its declared causes, and what an extractor had met before.

What belongs here: walking from one exception to the next. Types are known by their names, so that nothing is imported.
"""

import traceback


def named(error: BaseException, *names: str) -> bool:
    """Whether the error is of a type of one of these names, or of one below it."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def chain_of(error: BaseException | None) -> list[BaseException]:
    """The error and its declared causes, each once, from the outside in."""
    chain: list[BaseException] = []
    while error is not None and len(chain) < 20 and not any(error is each for each in chain):
        chain.append(error)
        error = _cause(error)
    return chain


def met_before(chain: list[BaseException]) -> list[BaseException]:
    """What an extractor was handling when it gave up: its first way, which failed before the one that it tells of."""
    contexts = [each.__context__ for each in chain if named(each, "ExtractorError")]
    return [one for context in contexts for one in chain_of(context) if not any(one is each for each in chain)]


def places(chain: list[BaseException]) -> str:
    """Where each was raised, and its type; without its words, which may hold signed links."""
    return "\n".join(f"{''.join(traceback.format_tb(each.__traceback__))}{type(each).__name__}" for each in chain)


def _cause(error: BaseException) -> BaseException | None:
    """What an exception says about its own cause.

    yt-dlp reports an extractor's failure while handling it, so it is the context of a DownloadError, whose `exc_info`
    may then hold what the extractor had met before. An extractor that tries a second way fails while it handles the
    failure of the first, which is no cause. An answer (HTTPError) needs none.
    """
    if named(error, "DownloadError"):
        if error.__context__ is not None and named(error.__context__, "ExtractorError"):
            return error.__context__
        exc_info = getattr(error, "exc_info", None)
        return exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) > 1 else None
    unexpected = getattr(error, "unexpected_errors", None) or [None]  # of yt-dlp's NoSupportingHandlers
    for cause in (getattr(error, "cause", None), error.__cause__, unexpected[0]):
        if isinstance(cause, BaseException):
            return cause
    return None if named(error, "ExtractorError", "HTTPError") else error.__context__
