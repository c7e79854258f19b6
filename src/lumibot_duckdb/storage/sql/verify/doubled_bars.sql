-- damage: a bar is there twice in one version of a series.
SELECT printf('version %d has the bar of %s %d times', version_id, strftime(CAST(ts AS TIMESTAMP), '%Y-%m-%d %H:%M:%S'), count(*)),
    version_id
FROM {db}.bar
WHERE {piece} AND version_id NOT IN ({repaired})
GROUP BY version_id, ts
HAVING count(*) > 1
ORDER BY version_id, ts
LIMIT 20
