"""The command line, `narralytica-ingest`. It works on the same tables as everybody else, and imports no Dagster."""
