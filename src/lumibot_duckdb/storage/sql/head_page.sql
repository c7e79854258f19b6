-- What the first touches of the series of a page need: their covered ranges, the outlines of their current versions, and
-- the last write to each of them. The columns from `block` on tell the three apart.

SELECT series_id AS id, range_start, range_end, believed_until AS moment, NULL::INTEGER AS block,
    NULL::INTEGER AS ingest_id, NULL::SMALLINT AS days, NULL::BLOB AS packed, NULL::VARCHAR AS kind,
    NULL::VARCHAR AS metadata
FROM {db}.coverage
WHERE {series}
UNION ALL
SELECT version_id, NULL, NULL, NULL, block, ingest_id, days, packed, NULL, NULL
FROM {db}.outline
WHERE {versions}
UNION ALL
SELECT ingest_id, NULL, NULL, ingested_at, NULL, NULL, NULL, NULL, kind, metadata
FROM {db}.ingest
WHERE {ingests}
