"""The embedded stack: Postgres, the S3 server, and the processes of `up`, all under one home folder."""
