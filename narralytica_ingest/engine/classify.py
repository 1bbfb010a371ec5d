"""What a failure of our own parts means. Failures of sources and media arrive as IngestError already."""

import errno

from narralytica_ingest.failures import IngestError, local, transient


def classify(error: Exception) -> IngestError:
    """The verdict on any exception. Unknown ones are transient, and their traceback is in the run's log."""
    if isinstance(error, IngestError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return local("disk_full", "The disk of the worker is full: free some space; the job goes on by itself.")
    if isinstance(error, MemoryError):
        return local("out_of_memory", "The worker ran out of memory; the job is tried again.")
    text = (str(error).splitlines() or [""])[0][:300]
    return transient("unexpected", f"Unexpected {type(error).__name__}: {text}. The run's log has the traceback.")
