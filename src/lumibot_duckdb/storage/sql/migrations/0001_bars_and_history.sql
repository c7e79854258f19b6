-- The store: assets, series of bars with their versions, the history of writes, and what was requested.
--
-- Ids come from `ingest`: a series or a version has the id of the ingest that made it, so ids are never used twice.
-- There are no keys or indexes: rows are found by the statistics of their row groups, and uniqueness is kept by
-- the one writer at a time (`lumibot_duckdb.storage` verifies it on demand).

CREATE TABLE {db}.store_meta (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

-- `name` is what the published view shows: unique for an asset type and an exchange.
CREATE TABLE {db}.asset (
    asset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    symbol VARCHAR NOT NULL,
    asset_type VARCHAR NOT NULL,
    quote VARCHAR,
    exchange VARCHAR NOT NULL,
    expiration DATE,
    strike DOUBLE,
    "right" VARCHAR,
    multiplier DOUBLE NOT NULL,
    auto_expiry VARCHAR
);

CREATE TABLE {db}.series (
    series_id INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    source VARCHAR NOT NULL,
    timeframe VARCHAR NOT NULL,
    adjustment VARCHAR NOT NULL,
    current_version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE {db}.series_version (
    version_id INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    superseded_at TIMESTAMP
);

-- How the columns of a frame lie in `bar` (JSON). Many series share one layout.
CREATE TABLE {db}.layout (
    layout_id INTEGER NOT NULL,
    definition VARCHAR NOT NULL
);

-- One row a write, and the state of the version after it. `kind` is 'bars', 'coverage' or 'delete'.
CREATE TABLE {db}.ingest (
    ingest_id INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    ingested_at TIMESTAMP NOT NULL,
    kind VARCHAR NOT NULL,
    rows_added BIGINT NOT NULL,
    rows_changed BIGINT NOT NULL,
    rows_removed BIGINT NOT NULL,
    layout_id INTEGER NOT NULL,
    version_rows BIGINT NOT NULL,
    version_first TIMESTAMP_S,
    version_last TIMESTAMP_S,
    on_minute BOOLEAN NOT NULL,
    metadata VARCHAR
);

-- Half-open ranges that were requested and answered. Empty answers are believed for a limited time.
CREATE TABLE {db}.coverage (
    series_id INTEGER NOT NULL,
    ingest_id INTEGER NOT NULL,
    range_start TIMESTAMP_S NOT NULL,
    range_end TIMESTAMP_S NOT NULL,
    believed_until TIMESTAMP
);

-- Bars, UTC, stamped at their start. The writer adds further columns of sources (bid, ask, vwap, ...) when they first
-- arrive: a column of NULLs takes no space, but writing it takes as long as writing any other.
CREATE TABLE {db}.bar (
    version_id INTEGER NOT NULL,
    ts TIMESTAMP_S NOT NULL,
    open DOUBLE,
    high DOUBLE,
    low DOUBLE,
    close DOUBLE,
    volume DOUBLE,
    adj_close DOUBLE,
    dividend DOUBLE,
    split_ratio DOUBLE,
    ingest_id INTEGER NOT NULL
);

-- The published view: current bars. Its columns and their order are a contract. Names inside are unqualified, so that
-- it works under any name of the attached file.
CREATE VIEW {db}.ohlcv_data AS
SELECT
    asset.name AS asset_symbol,
    asset.asset_type,
    asset.exchange,
    CAST(bar.ts AS TIMESTAMP) AS "timestamp",
    series.timeframe,
    CASE WHEN series.adjustment = '' THEN series.source ELSE series.source || ':' || series.adjustment END AS source,
    bar.open,
    bar.high,
    bar.low,
    bar.close,
    bar.volume,
    bar.adj_close,
    bar.dividend,
    bar.split_ratio,
    ingest.metadata,
    ingest.ingested_at AS created_at
FROM bar
JOIN series ON series.current_version = bar.version_id
JOIN asset ON asset.asset_id = series.asset_id
JOIN ingest ON ingest.ingest_id = bar.ingest_id;
