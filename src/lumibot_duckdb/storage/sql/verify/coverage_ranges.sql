-- damage: a covered range that is empty, of no series, or reaches into the future.
SELECT printf('series %d: covered from %s to %s', series_id, CAST(range_start AS VARCHAR), CAST(range_end AS VARCHAR))
FROM {db}.coverage
WHERE range_start >= range_end
    OR series_id NOT IN (SELECT series_id FROM {db}.series)
    OR CAST(range_end AS TIMESTAMP) > {now} + INTERVAL 1 DAY
ORDER BY series_id, range_start
