"""The command line's beginning: also `python -m narralytica_ingest`."""

import sys


def main() -> None:
    """Loads and runs the command line. An interrupt while it loads ends it as quietly as one later."""
    try:
        from narralytica_ingest.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
