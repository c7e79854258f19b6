-- Names for moments of the store, and the settings of its upkeep.

-- A snapshot has the writes up to `last_ingest`: ids of writes increase, also when the clock is set back.
CREATE TABLE IF NOT EXISTS {db}.snapshot (
    name VARCHAR NOT NULL,
    last_ingest INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Values are JSON.
CREATE TABLE IF NOT EXISTS {db}.setting (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);
