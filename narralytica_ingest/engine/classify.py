"""What a failure of our own parts means. Failures of sources and media arrive as IngestError already."""

from narralytica_ingest.failures import IngestError, code_of_machine, failure
from narralytica_ingest.redaction import safe_words


def classify(error: Exception) -> IngestError:
    """The verdict on any exception. Unknown ones are transient, and their traceback is in the run's log."""
    if isinstance(error, IngestError):
        return error
    if code := code_of_machine(error):
        return failure(code)
    text = safe_words((str(error).splitlines() or [""])[0], 200) or "no message"
    return failure("unexpected", f"Unexpected {type(error).__name__}: {text}. The run's log has the traceback.")
