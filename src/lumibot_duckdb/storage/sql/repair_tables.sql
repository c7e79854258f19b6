-- What `repair` does about rows that belong to nothing, by the name of the check that finds them.

-- bars_of_no_version
DELETE FROM {db}.bar WHERE version_id NOT IN (SELECT version_id FROM {db}.series_version);

-- versions_of_no_series
DELETE FROM {db}.bar WHERE version_id IN (
    SELECT version_id FROM {db}.series_version WHERE series_id NOT IN (SELECT series_id FROM {db}.series)
);
DELETE FROM {db}.series_version WHERE series_id NOT IN (SELECT series_id FROM {db}.series);
UPDATE {db}.series_version SET superseded_at = {now}
WHERE superseded_at IS NULL AND version_id NOT IN (SELECT current_version FROM {db}.series);

-- future_coverage
SELECT series_id, {range} FROM {db}.coverage
WHERE range_start < range_end
    AND series_id IN (SELECT series_id FROM {db}.series)
    AND CAST(range_end AS TIMESTAMP) > {now} + INTERVAL 1 DAY
ORDER BY ALL

-- coverage_ranges
DELETE FROM {db}.coverage
WHERE range_start >= range_end
    OR series_id NOT IN (SELECT series_id FROM {db}.series)
    OR CAST(range_end AS TIMESTAMP) > {now} + INTERVAL 1 DAY;

-- rows_of_nothing
DELETE FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series);
DELETE FROM {db}.ingest_request WHERE ingest_id NOT IN (SELECT ingest_id FROM {db}.ingest);

-- derived
DELETE FROM {db}.bar_checksum WHERE version_id NOT IN (SELECT version_id FROM {db}.series_version);
DELETE FROM {db}.outline WHERE version_id NOT IN (SELECT version_id FROM {db}.series_version);
DELETE FROM {db}.repeated_bar WHERE version_id NOT IN (SELECT version_id FROM {db}.outline);
