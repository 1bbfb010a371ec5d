"""Where assets' values are stored: media files in S3, metadata in Postgres. Each commit is fenced by the run's lease."""
