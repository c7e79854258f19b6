-- Leaves in a copy of a store what is published: the series in lumibot_duckdb_published (series_id, version_id, ingest_id),
-- each in the version that it had after that write, and what was written up to {last}. What is of use only to the store
-- itself goes: its snapshots and settings, and the paths of migrated files.

DELETE FROM {db}.series WHERE series_id NOT IN (SELECT series_id FROM lumibot_duckdb_published);

UPDATE {db}.series SET current_version = published.version_id
FROM lumibot_duckdb_published AS published
WHERE series.series_id = published.series_id AND current_version <> published.version_id;

DELETE FROM {db}.series_version WHERE version_id NOT IN (SELECT version_id FROM lumibot_duckdb_published);
UPDATE {db}.series_version SET superseded_at = NULL WHERE superseded_at IS NOT NULL;

DELETE FROM {db}.bar WHERE ingest_id > {last};

DELETE FROM {db}.coverage
WHERE ingest_id > {last} OR series_id NOT IN (SELECT series_id FROM lumibot_duckdb_published);

-- The bars of a renamed series keep the writes that stored them, of the series that it was before.
DELETE FROM {db}.ingest
WHERE ingest_id > {last} OR NOT (
    series_id IN (SELECT series_id FROM lumibot_duckdb_published) OR ingest_id IN (SELECT DISTINCT ingest_id FROM {db}.bar)
);
DELETE FROM {db}.ingest_request WHERE ingest_id NOT IN (SELECT ingest_id FROM {db}.ingest);
DELETE FROM {db}.layout WHERE layout_id NOT IN (SELECT layout_id FROM {db}.ingest);

DELETE FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series);

-- Splits, option chains and labels are those of the assets, and of what options are on, whose names are their symbols.
CREATE TEMP TABLE lumibot_duckdb_names AS SELECT name FROM {db}.asset UNION SELECT symbol FROM {db}.asset;
DELETE FROM {db}.corporate_action WHERE asset_symbol NOT IN (SELECT name FROM lumibot_duckdb_names);
DELETE FROM {db}.corporate_action_check WHERE asset_symbol NOT IN (SELECT name FROM lumibot_duckdb_names);
DELETE FROM {db}.option_chain WHERE asset_symbol NOT IN (SELECT name FROM lumibot_duckdb_names);
DELETE FROM {db}.option_chain_strikes WHERE chain_id NOT IN (SELECT chain_id FROM {db}.option_chain);
DELETE FROM {db}.asset_label WHERE asset_symbol NOT IN (SELECT name FROM lumibot_duckdb_names);
DROP TABLE lumibot_duckdb_names;

DELETE FROM {db}.snapshot;
DELETE FROM {db}.setting;
DELETE FROM {db}.migrated_file;
