-- Versions that are known to be damaged: a repair superseded them, or found them superseded and needed by a snapshot. They
-- stay as they were, for `undo_repair` and for snapshots, until a compaction.

SELECT repaired FROM (
    SELECT CAST(json_extract_string(metadata, '$.repaired_version') AS INTEGER) AS repaired
    FROM {db}.ingest WHERE kind = 'repair'
) WHERE repaired IS NOT NULL AND repaired NOT IN (SELECT current_version FROM {db}.series)
