-- The writes that an export of a pinned version names: those that stored its bars (`{bars}` is the condition for them), and
-- those that recorded only coverage, which may have metadata.
SELECT ingest_id, coalesce(requested_at, ingested_at), kind, metadata
FROM {db}.ingest LEFT JOIN {db}.ingest_request USING (ingest_id)
WHERE ingest_id IN (SELECT DISTINCT ingest_id FROM {db}.bar WHERE {bars})
    OR (kind = 'coverage' AND series_id = {series} AND version_id = {version} AND ingest_id <= {last})
ORDER BY ingest_id
