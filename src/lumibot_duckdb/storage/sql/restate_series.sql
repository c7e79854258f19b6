-- Begins a new version without bars for each series in the registered table `lumibot_duckdb_restated`
-- (series_id, version_id of the new version, now) and removes its coverage. Superseded versions stay for their pins.

-- The ingest kind keeps its first name, since stores have it.
INSERT INTO {db}.ingest
SELECT restated.version_id, series_id, restated.version_id, restated.now, 'renewal', 0, 0, latest.rows, latest.layout_id, 0,
    NULL, NULL, true, NULL
FROM lumibot_duckdb_restated AS restated
JOIN (
    SELECT series_id, arg_max(layout_id, ingest_id) AS layout_id, arg_max(version_rows, ingest_id) AS rows
    FROM {db}.ingest
    WHERE series_id IN (SELECT series_id FROM lumibot_duckdb_restated)
    GROUP BY series_id
) AS latest USING (series_id);

UPDATE {db}.series_version SET superseded_at = restated.now
FROM lumibot_duckdb_restated AS restated
WHERE series_version.series_id = restated.series_id AND superseded_at IS NULL;

INSERT INTO {db}.series_version SELECT version_id, series_id, now, NULL FROM lumibot_duckdb_restated;

UPDATE {db}.series SET current_version = restated.version_id
FROM lumibot_duckdb_restated AS restated
WHERE series.series_id = restated.series_id;

DELETE FROM {db}.coverage WHERE series_id IN (SELECT series_id FROM lumibot_duckdb_restated);
