-- What assets are grouped by: a sector, or any other name with its value. And the macros of `sql/macros`, which every
-- migration creates.

CREATE TABLE IF NOT EXISTS {db}.asset_label (
    asset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);
