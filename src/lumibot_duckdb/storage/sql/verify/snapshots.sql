-- damage: a snapshot that is there twice, or lacks a version of a series that is still there.
SELECT printf('the snapshot %s is there %d times', name, count(*)) AS what
FROM {db}.snapshot GROUP BY name HAVING count(*) > 1
UNION ALL
SELECT printf('the snapshot %s needs version %d of series %d, which is gone', name, version_id, series_id)
FROM (
    SELECT snapshot.name, ingest.series_id, arg_max(ingest.version_id, ingest.ingest_id) AS version_id
    FROM {db}.ingest JOIN {db}.snapshot ON ingest.ingest_id <= snapshot.last_ingest
    WHERE ingest.series_id IN (SELECT series_id FROM {db}.series)
    GROUP BY snapshot.name, ingest.series_id
)
WHERE version_id NOT IN (SELECT version_id FROM {db}.series_version)
ORDER BY what
