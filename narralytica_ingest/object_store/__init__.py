"""Objects in S3: publishing media files under their content, and the upload area. Knows no table and no Dagster."""
