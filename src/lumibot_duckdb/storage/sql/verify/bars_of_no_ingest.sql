-- damage: bars that no ingest brought.
SELECT printf('%d bars of version %d belong to ingest %d, which does not exist', count(*), version_id, ingest_id), version_id
FROM {db}.bar
WHERE ingest_id NOT IN (SELECT ingest_id FROM {db}.ingest) AND version_id NOT IN ({repaired})
GROUP BY version_id, ingest_id
ORDER BY version_id, ingest_id
