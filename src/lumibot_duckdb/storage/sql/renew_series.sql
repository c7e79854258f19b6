-- Begins a new version without bars for each series in the registered table `lumibot_duckdb_renewed`
-- (series_id, version_id of the new version, now) and forgets what was covered. What was superseded stays for its pins.

INSERT INTO {db}.ingest
SELECT renewed.version_id, series_id, renewed.version_id, renewed.now, 'renewal', 0, 0, latest.rows, latest.layout_id, 0,
    NULL, NULL, true, NULL
FROM lumibot_duckdb_renewed AS renewed
JOIN (
    SELECT series_id, arg_max(layout_id, ingest_id) AS layout_id, arg_max(version_rows, ingest_id) AS rows
    FROM {db}.ingest
    WHERE series_id IN (SELECT series_id FROM lumibot_duckdb_renewed)
    GROUP BY series_id
) AS latest USING (series_id);

UPDATE {db}.series_version SET superseded_at = renewed.now
FROM lumibot_duckdb_renewed AS renewed
WHERE series_version.series_id = renewed.series_id AND superseded_at IS NULL;

INSERT INTO {db}.series_version SELECT version_id, series_id, now, NULL FROM lumibot_duckdb_renewed;

UPDATE {db}.series SET current_version = renewed.version_id
FROM lumibot_duckdb_renewed AS renewed
WHERE series.series_id = renewed.series_id;

DELETE FROM {db}.coverage WHERE series_id IN (SELECT series_id FROM lumibot_duckdb_renewed);
