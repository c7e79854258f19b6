-- The writes that an export of the versions in the registered table `lumibot_duckdb_exported` (series_id, version_id,
-- last_ingest) names, by version: those that stored its bars (`{within}` is a condition for them), and those that recorded
-- only coverage, which may have metadata.
SELECT version_id, ingest_id, coalesce(requested_at, ingested_at), kind, metadata
FROM (
    SELECT version_id, ingest_id
    FROM {db}.bar JOIN lumibot_duckdb_exported USING (version_id)
    WHERE ingest_id <= last_ingest AND {within}
    UNION
    SELECT version_id, ingest_id
    FROM {db}.ingest JOIN lumibot_duckdb_exported USING (series_id, version_id)
    WHERE kind = 'coverage' AND ingest_id <= last_ingest
) AS named
JOIN (SELECT ingest_id, ingested_at, kind, metadata FROM {db}.ingest) AS ingest USING (ingest_id)
LEFT JOIN {db}.ingest_request USING (ingest_id)
ORDER BY version_id, ingest_id
