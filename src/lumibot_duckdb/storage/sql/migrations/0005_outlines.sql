-- The outline of each version with many bars: how many each day has, the first and the last, and how far apart bars are.
--
-- One row for each block of 64 calendar days of New York: days that are numbered from 64 * block to 64 * block + 63, from
-- 1970 on. `packed` has the `days` that have bars, and then the spacings of bars within days; `bars/outline_records.py`
-- defines it. `ingest_id` is the latest write of a bar in the block. The outline of older stores is made by the migration.

CREATE TABLE {db}.outline (
    version_id INTEGER NOT NULL,
    block INTEGER NOT NULL,
    ingest_id INTEGER NOT NULL,
    days SMALLINT NOT NULL,
    packed BLOB NOT NULL
);

-- Bars of crypto that repeat an earlier one: they have the five numbers that the latest such bar at `earlier` has, not more
-- than 50,000 bar lengths before. `earlier` is `ts` for a bar that lacks a price. For versions with an outline.
CREATE TABLE {db}.repeated_bar (
    version_id INTEGER NOT NULL,
    ts TIMESTAMP_S NOT NULL,
    earlier TIMESTAMP_S NOT NULL
);
