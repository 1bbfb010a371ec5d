"""What a failure of our own parts means. Failures of sources and media arrive as IngestError already."""

from narralytica_ingest.engine import postgres_outages
from narralytica_ingest.failures import IngestError, code_of_machine, failure
from narralytica_ingest.redaction import safe_words


def classify(error: Exception) -> IngestError:
    """The verdict on any exception. Unknown ones are transient, and their traceback is in the run's log."""
    if isinstance(error, IngestError):
        return error
    if postgres_outages.is_away(error):
        return _storage_away()
    if code := code_of_machine(error):
        return failure(code)
    text = safe_words((str(error).splitlines() or [""])[0], 200) or "no message"
    return failure("unexpected", f"Unexpected {type(error).__name__}: {text}. The run's log has the traceback.")


def early_end(began: float) -> IngestError:
    """The verdict on a run that began at `began` (monotonic seconds) and ended between two pieces of its work, where
    no exception reaches us: if Dagster could not write its tables meanwhile, that was it."""
    if postgres_outages.failed_since(began):
        return _storage_away()
    return failure("run_ended_early", "The run ended before the video was ready.")


def _storage_away() -> IngestError:
    return failure(
        "database_away", "Postgres was away when Dagster wrote to its own tables; the job stays and goes on by itself."
    )
