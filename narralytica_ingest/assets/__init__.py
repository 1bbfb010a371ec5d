"""The three assets. They say what, not how: no S3 call and no SQL here."""
