-- What sources remember besides bars: splits and dividends, and option chains.
--
-- An asset is named as in the published view, so that these tables can be joined with it. `ingest.kind` may be
-- 'renewal' from here on: the series began a new version without bars, since what the source gives has changed.

CREATE TABLE {db}.corporate_action (
    asset_symbol VARCHAR NOT NULL,
    asset_type VARCHAR NOT NULL,
    exchange VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    ex_date DATE NOT NULL,
    split_from DOUBLE,
    split_to DOUBLE,
    amount DOUBLE
);

-- When a source was last asked for all actions of a kind. An asset with a row here and none above has no such action.
CREATE TABLE {db}.corporate_action_check (
    asset_symbol VARCHAR NOT NULL,
    asset_type VARCHAR NOT NULL,
    exchange VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    checked_at TIMESTAMP NOT NULL
);

-- The options on an underlying as of a date. `days_ahead` is how far ahead expirations were asked for; NULL: all of them.
-- `outline` is the chain as JSON with, instead of strikes, the expirations of each right.
CREATE TABLE {db}.option_chain (
    chain_id INTEGER NOT NULL,
    asset_symbol VARCHAR NOT NULL,
    asset_type VARCHAR NOT NULL,
    exchange VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    as_of DATE NOT NULL,
    days_ahead INTEGER,
    outline VARCHAR NOT NULL,
    stored_at TIMESTAMP NOT NULL
);

-- Its strikes, as a JSON list for each right and expiration. Not all in one text: DuckDB holds the texts of 2,048 rows at
-- a time, which for whole chains is more memory than it has here.
CREATE TABLE {db}.option_chain_strikes (
    chain_id INTEGER NOT NULL,
    "right" VARCHAR NOT NULL,
    expiration VARCHAR NOT NULL,
    strikes VARCHAR NOT NULL
);
