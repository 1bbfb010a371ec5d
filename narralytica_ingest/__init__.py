"""Narralytica ingest: turns a reference to a video into stored, structured ingestion artifacts."""
