-- Gives each series in the registered table `lumibot_duckdb_renamed` another asset and another id (series_id, delete_id,
-- new_id, asset_id, now). Versions, bars and history go with it: a series whose id is known never changes its name, since
-- processes remember it, so to them one series is deleted and another one created.

UPDATE {db}.ingest SET series_id = renamed.new_id
FROM lumibot_duckdb_renamed AS renamed WHERE ingest.series_id = renamed.series_id;

INSERT INTO {db}.ingest
SELECT renamed.delete_id, renamed.series_id, renamed.delete_id, renamed.now, 'delete', 0, 0, 0, latest.layout_id, 0, NULL,
    NULL, true, NULL
FROM lumibot_duckdb_renamed AS renamed
JOIN (
    SELECT series_id, arg_max(layout_id, ingest_id) AS layout_id FROM {db}.ingest
    WHERE series_id IN (SELECT new_id FROM lumibot_duckdb_renamed) GROUP BY series_id
) AS latest ON latest.series_id = renamed.new_id;

INSERT INTO {db}.ingest
SELECT renamed.new_id, renamed.new_id, latest.version_id, renamed.now, 'rename', 0, 0, 0, latest.layout_id,
    latest.version_rows, latest.version_first, latest.version_last, latest.on_minute, NULL
FROM lumibot_duckdb_renamed AS renamed
JOIN (
    SELECT series_id, unnest(arg_max(struct_pack(version_id, layout_id, version_rows, version_first, version_last,
        on_minute), ingest_id))
    FROM {db}.ingest WHERE series_id IN (SELECT new_id FROM lumibot_duckdb_renamed) GROUP BY series_id
) AS latest ON latest.series_id = renamed.new_id;

UPDATE {db}.series_version SET series_id = renamed.new_id
FROM lumibot_duckdb_renamed AS renamed WHERE series_version.series_id = renamed.series_id;

UPDATE {db}.coverage SET series_id = renamed.new_id
FROM lumibot_duckdb_renamed AS renamed WHERE coverage.series_id = renamed.series_id;

UPDATE {db}.series SET series_id = renamed.new_id, asset_id = renamed.asset_id
FROM lumibot_duckdb_renamed AS renamed WHERE series.series_id = renamed.series_id;
