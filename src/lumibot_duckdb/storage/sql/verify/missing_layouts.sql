-- damage: writes after which the columns of a series are unknown.
SELECT printf('write %d to series %d needs layout %d, which does not exist', ingest_id, series_id, layout_id)
FROM {db}.ingest
WHERE layout_id NOT IN (SELECT layout_id FROM {db}.layout)
    AND version_id IN (SELECT version_id FROM {db}.series_version)
ORDER BY ingest_id
