-- damage: bars that belong to no version.
SELECT printf('%d bars belong to version %d, which does not exist', count(*), version_id), version_id
FROM {db}.bar
WHERE version_id NOT IN (SELECT version_id FROM {db}.series_version)
GROUP BY version_id
ORDER BY version_id
