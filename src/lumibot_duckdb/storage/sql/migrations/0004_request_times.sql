-- When the bars of a write were requested, if that was a while before the write: a download that waited in the spool, or
-- bars out of an old cache.

CREATE TABLE IF NOT EXISTS {db}.ingest_request (
    ingest_id INTEGER NOT NULL,
    requested_at TIMESTAMP NOT NULL
);
