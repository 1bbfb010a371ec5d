"""The tables and every change of state: jobs, videos, leases, media files, metadata.

SQL is kept as SQL here. Nothing in this package imports Dagster, fetches a source or stores an object.
"""
