"""Where assets' values are stored: media files in S3, metadata in Postgres, each commit fenced by the lease."""
