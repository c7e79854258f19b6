-- damage: a bar is there twice in one version of a series.
SELECT printf('version %d has the bar of %s %d times', version_id, strftime(CAST(ts AS TIMESTAMP), '%Y-%m-%d %H:%M:%S'), count(*))
FROM {db}.bar
WHERE {piece}
GROUP BY version_id, ts
HAVING count(*) > 1
ORDER BY version_id, ts
LIMIT 20
