-- How many bars each source and timeframe gained or lost in each interval of `$seconds`, from the log of writes.
--
-- A series has the bars of the version that its last write wrote. So each write adds what its version has more than that
-- of the write before it. Series that were deleted are left out.
WITH changes AS (
    SELECT
        series_id,
        ingested_at,
        version_rows - lag(version_rows, 1, 0) OVER (PARTITION BY series_id ORDER BY ingest_id) AS change
    FROM {db}.ingest
)
SELECT
    CAST(epoch(ingested_at) AS BIGINT) // $seconds * $seconds AS start,
    series.source,
    series.timeframe,
    CAST(sum(change) AS BIGINT) AS bars
FROM changes JOIN {db}.series USING (series_id)
WHERE {which}
GROUP BY ALL
HAVING sum(change) <> 0
ORDER BY ALL
