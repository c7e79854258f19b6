-- Checksums of bars, so that silent corruption of the disk is found and located. `bars/checksums.py` defines them.
--
-- A checksum is a sum over bars. So each write adds rows for its bars, one for each version and segment of
-- days, and those of one version and segment are added up to get its checksums. `sums` has 8 bytes for
-- each of the `columns`, which are separated by commas; a column that is not listed has no value in these bars.
--
-- Bars of older stores have no checksums until the next compaction, which computes them: those whose version and write both
-- have ids up to `unchecked_to` in `store_meta`. There is no such key if all bars have checksums.

CREATE TABLE {db}.bar_checksum (
    version_id INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    bars INTEGER NOT NULL,
    columns VARCHAR NOT NULL,
    sums BLOB NOT NULL
);

INSERT INTO {db}.store_meta
SELECT 'unchecked_to', CAST(max(ingest_id) AS VARCHAR) FROM {db}.ingest HAVING max(ingest_id) IS NOT NULL;
