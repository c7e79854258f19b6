-- The versions that snapshots need, of some series: those that had begun and were not superseded at a snapshot's last
-- write.

SELECT version_id
FROM (
    SELECT version_id, lead(version_id) OVER (PARTITION BY series_id ORDER BY version_id) AS next
    FROM {db}.series_version
    WHERE {which}
) AS version
WHERE EXISTS (
    FROM {db}.snapshot
    WHERE last_ingest >= version.version_id AND (version.next IS NULL OR last_ingest < version.next)
)
