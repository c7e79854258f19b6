-- What assets are grouped by: a sector, an index, or any other name with its values. Nothing has written the table of
-- schema 8, which named assets by their ids.

DROP TABLE IF EXISTS {db}.asset_label;

-- An asset is named as in the published view. All values of a name were set together, at `labelled_at` (UTC).
CREATE TABLE {db}.asset_label (
    asset_symbol VARCHAR NOT NULL,
    asset_type VARCHAR NOT NULL,
    exchange VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    labelled_at TIMESTAMP NOT NULL
);

-- Published: its columns are a contract, as those of `ohlcv_data`.
CREATE VIEW IF NOT EXISTS {db}.asset_labels AS
SELECT asset_symbol, asset_type, exchange, name, value
FROM asset_label;
