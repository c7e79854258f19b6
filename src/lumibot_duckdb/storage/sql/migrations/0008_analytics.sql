-- What assets are grouped by: a sector, an index, or any other name with its values. And the macros of `sql/macros`, which
-- every migration creates.

-- An asset is named as in the published view. All values of a name were set together, at `labelled_at` (UTC).
CREATE TABLE IF NOT EXISTS {db}.asset_label (
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
