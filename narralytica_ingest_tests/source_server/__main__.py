"""Serves sources until Ctrl-C: `python -m narralytica_ingest_tests.source_server --port N`."""

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path

from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.source_server import SourceServer, add_usual_sources, make_streams
from narralytica_ingest_tests.source_server.exceptions import SETTING


def main() -> None:
    """Prints the URLs of what it serves."""
    parser = argparse.ArgumentParser(description="Serves video sources on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0)
    port = parser.parse_args().port
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(SourceServer(make_streams(folder, find_tools()), port))
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        add_usual_sources(server)
        print(f"{SETTING}={os.environ[SETTING]} lets a worker fetch from here:")
        print(*(server.url(path) for path in sorted(server.resources)), sep="\n", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
