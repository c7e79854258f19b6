-- damage: rows that belong to nothing, beyond those of bars, versions and coverage, which have checks of their own.
SELECT printf('asset %d (%s) has no series', asset_id, name) AS what
FROM {db}.asset WHERE asset_id NOT IN (SELECT asset_id FROM {db}.series)
UNION ALL
SELECT printf('the time of a request belongs to write %d, which does not exist', ingest_id)
FROM {db}.ingest_request WHERE ingest_id NOT IN (SELECT ingest_id FROM {db}.ingest)
ORDER BY what
