"""`python -m narralytica_ingest` is the command line, too."""

from narralytica_ingest.cli.main import main

if __name__ == "__main__":
    main()
