-- damage: what is recorded of a version (number of bars, first and last) is not what is there.
WITH recorded AS (
    SELECT version_id, arg_max(version_rows, ingest_id) AS total, arg_max(version_first, ingest_id) AS first_bar,
        arg_max(version_last, ingest_id) AS last_bar
    FROM {db}.ingest
    WHERE version_id IN (SELECT version_id FROM {db}.series_version)
    GROUP BY version_id
), present AS (
    SELECT version_id, count(*) AS total, min(ts) AS first_bar, max(ts) AS last_bar FROM {db}.bar GROUP BY version_id
)
SELECT printf('version %d should have %d bars (%s to %s) and has %d (%s to %s)', recorded.version_id, recorded.total,
    coalesce(CAST(recorded.first_bar AS VARCHAR), '-'), coalesce(CAST(recorded.last_bar AS VARCHAR), '-'),
    coalesce(present.total, 0),
    coalesce(CAST(present.first_bar AS VARCHAR), '-'), coalesce(CAST(present.last_bar AS VARCHAR), '-')), recorded.version_id
FROM recorded LEFT JOIN present USING (version_id)
WHERE recorded.version_id NOT IN ({repaired}) AND (recorded.total <> coalesce(present.total, 0)
    OR (recorded.total > 0 AND (recorded.first_bar <> present.first_bar OR recorded.last_bar <> present.last_bar)))
ORDER BY recorded.version_id
