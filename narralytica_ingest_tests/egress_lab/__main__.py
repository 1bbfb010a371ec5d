"""The laboratory's process: `python -m narralytica_ingest_tests.egress_lab N`, asked through the file descriptor N."""

import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from narralytica_ingest_tests.egress_lab.process import run

if __name__ == "__main__":
    with suppress(EOFError):
        run(Connection(int(sys.argv[1])))
