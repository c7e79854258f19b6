"""Published snapshots: read-only stores from S3 or a shared folder, which each machine downloads once."""
