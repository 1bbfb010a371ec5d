"""One remote file, or a range of one, on its way into a partial file: the one place that continues and starts again."""

import time
from contextlib import closing
from dataclasses import dataclass

from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import CertificateVerifyError, HTTPError, IncompleteRead, TransportError

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources.part_file import PartFile
from narralytica_ingest.sources.remote_file import Answer, RemoteFile, ranges_ignored, source_changed
from narralytica_ingest.sources.ytdlp.line import Line

OVERLAP = 64 << 10  # bytes fetched once more to see that they are still the same
_GREAT_PROGRESS = 1 << 20


class _Changed(Exception):
    """The bytes that are there do not belong to what the source serves now."""


class _AskWhole(Exception):
    """Nothing would prove that a second range belongs to the first."""


@dataclass(frozen=True)
class Piece:
    """Bytes `start` to before `end` of the file at a URL; without an end the whole file."""

    url: str
    start: int = 0
    end: int | None = None


class Pull:
    """Brings a piece to the end of a partial file, through as many requests as it takes.

    A request goes on where the one before ended only if the source promises that the file is the same (`If-Range`),
    answers with the same validators and length, and sends an overlap that is the same byte for byte. In all other cases
    the piece starts again. Cuts do not count as failures while the piece gets on.

    With `inherited` the file holds bytes of an earlier attempt, and `first` is what they were proven to be of. `chunk`:
    the longest range (bytes) that the source likes to be asked for, 0 for any.
    """

    def __init__(self, line: Line, part: PartFile, piece: Piece, *, whole: bool, chunk: int = 0) -> None:
        self._line, self._part, self._piece, self._chunk = line, part, piece, chunk
        self._whole = whole  # the part is this piece and nothing else
        self._base = 0 if whole else part.size
        self.first: RemoteFile | None = part.file if whole else line.seen.get(piece.url)
        self._inherited = self._have > 0
        self._ended = False
        self._restarted = False
        self._failures, self._best = 0, self._have

    def run(self) -> int:
        """Returns the piece's size in bytes.

        Raises IngestError `source_changed` (restart), `ranges_ignored`, `too_large` (permanent), `empty_response`,
        `too_slow`, `length_unknown` (transient), and yt-dlp's RequestErrors once its retries are spent.
        """
        while not self._ended:
            try:
                self._request()
            except _AskWhole:
                self._chunk = 0
                self._drop()
            except _Changed:
                self._begin_again()
            except (HTTPError, TransportError) as error:
                self._count_failure(error)
        if self._have == 0:
            raise failure("empty_response", "The source sent no data where media was announced.")
        return self._have

    @property
    def _have(self) -> int:
        return self._part.size - self._base

    # ---- one request ---------------------------------------------------------------------------------------------

    def _request(self) -> None:
        if self._have and (self.first is None or not self.first.is_proof):
            self._drop()
        if self._inherited:
            self._check_head()
        before = self._have
        overlap = min(OVERLAP, (self._have + 1) // 2)
        start, end = self._range(overlap)
        response, answer = self._ask(start, end)
        with closing(response):
            if start is not None and answer.start == start and self._have:
                if answer.file != self.first:
                    raise _Changed
                self._compare(response, self._part.size - overlap, overlap)
                self._inherited = False
                start += overlap
            else:
                self._accept_first(answer, start is not None)
                start = answer.start
            self._copy(response, None if answer.stop is None else answer.stop - start)
        length = self._length()
        self._ended = length is None or self._have == length
        if not self._ended and self._have <= before:  # it promises bytes that it never sends
            raise IncompleteRead(self._have, (length or 0) - self._have)

    def _range(self, overlap: int) -> tuple[int | None, int | None]:
        start: int | None = self._piece.start + self._have - overlap
        if self._chunk:
            assert start is not None
            length = self._length()
            return start, start + self._chunk if length is None else min(start + self._chunk, length)
        if self._have == 0 and self._piece.end is None:
            start = None
        return start, self._piece.end

    def _ask(self, start: int | None, end: int | None) -> tuple[Response, Answer]:
        try:
            return self._line.ask(self._piece.url, start, end, self.first)
        except HTTPError as error:
            if error.status == 416 and self._have:  # it became shorter
                raise _Changed from error
            raise

    def _check_head(self) -> None:
        """Whether the file still begins as it did. The overlap before the next byte is compared in any case."""
        assert self.first is not None
        count = min(OVERLAP, self._have // 2)
        if count == 0:
            return
        response, answer = self._ask(self._piece.start, self._piece.start + count)
        with closing(response):
            if answer.file != self.first or answer.start != self._piece.start:
                raise _Changed
            self._compare(response, self._base, count)

    def _compare(self, response: Response, position: int, count: int) -> None:
        """Reads so many bytes and compares them with those at a position of the partial file."""
        end = position + count
        while position < end:
            block = self._line.read(response, end - position)
            if not block:
                raise IncompleteRead(0, end - position)
            if block != self._part.read(position, len(block)):
                raise _Changed
            position += len(block)

    def _accept_first(self, answer: Answer, ranged: bool) -> None:
        """An answer that goes on with nothing: the beginning of the piece, or of a new file."""
        length = answer.file.length
        if self._piece.end is not None:
            if self.first is not None and answer.file != self.first:
                raise source_changed()
            if answer.start != self._piece.start or (answer.stop or 0) > self._piece.end:
                raise ranges_ignored()
            if answer.stop != self._piece.end:
                raise IncompleteRead(0, self._length())
        elif answer.start != 0:
            raise _Changed if self._have else IncompleteRead(0, length)
        elif answer.stop != length:
            if not ranged:
                raise IncompleteRead(0, length)
            if not answer.file.is_proof:
                raise _AskWhole
        self.first = answer.file
        if self._whole:
            self._part.restart(answer.file)
        else:
            self._part.cut(self._base)
            if self._piece.end is not None:
                self._line.seen[self._piece.url] = answer.file
        self._inherited = False
        if (size := self._length()) is not None:
            self._line.session.check_size(self._base + size)
            if self._whole:
                self._line.announce(size)

    def _copy(self, response: Response, count: int | None) -> None:
        while count is None or count > 0:
            block = self._line.read(response, count)
            if not block:
                break
            self._line.session.check_size(self._part.size + len(block))
            self._part.append(block)
            self._line.tell(self._part.size)
            count = None if count is None else count - len(block)
        if count:
            raise IncompleteRead(self._have, count)

    def _length(self) -> int | None:
        if self._piece.end is not None:
            return self._piece.end - self._piece.start
        return self.first.length if self.first is not None else None

    # ---- between requests ----------------------------------------------------------------------------------------

    def _begin_again(self) -> None:
        if self._piece.end is not None or (self._restarted and not self._inherited):
            raise source_changed()
        self._restarted = self._restarted or not self._inherited
        self._drop()

    def _drop(self) -> None:
        """What is there of the piece proves nothing, or belongs to other remote bytes."""
        self._inherited = False
        if self._whole:
            self._part.restart(None)
        else:
            self._part.cut(self._base)
        if self._piece.end is None:
            self.first = None

    def _count_failure(self, error: HTTPError | TransportError) -> None:
        """Raises the error when it is final, or the last of a row without progress; else waits a moment."""
        if not _may_pass(error):
            raise error
        enough = min(_GREAT_PROGRESS, max((self._length() or _GREAT_PROGRESS << 7) // 100, 1))
        if self._have >= self._best + enough:
            self._failures, self._best = 0, self._have
            time.sleep(0.2)
            return
        self._failures += 1
        if self._failures > self._line.session.options.retries:
            raise error
        time.sleep(min(0.5 * 2.0 ** (self._failures - 1), 4.0))


def _may_pass(error: HTTPError | TransportError) -> bool:
    if isinstance(error.cause, IngestError):  # the guard's refusal
        return False
    if isinstance(error, HTTPError):
        return error.status in (408, 425) or (error.status >= 500 and error.status != 503)
    return not isinstance(error, CertificateVerifyError)
