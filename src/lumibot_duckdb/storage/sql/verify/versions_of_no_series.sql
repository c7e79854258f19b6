-- damage: versions that belong to no series, and current ones that are not pointed to.
SELECT printf('version %d of series %d is %s', version.version_id, version.series_id,
    CASE WHEN series.series_id IS NULL THEN 'a version of no series' ELSE 'neither superseded nor current' END), version.version_id
FROM {db}.series_version AS version
LEFT JOIN {db}.series ON series.series_id = version.series_id
WHERE series.series_id IS NULL
    OR (version.superseded_at IS NULL AND series.current_version <> version.version_id)
ORDER BY version.version_id
