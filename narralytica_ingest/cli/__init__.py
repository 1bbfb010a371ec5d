"""The command line, `narralytica-ingest`: it reads and writes the same tables as everybody else, and imports no Dagster."""
