-- remark: a snapshot that shows the bars of a series from before a repair.
SELECT printf('the snapshot %s has the bars of %s (%s, %s bars from %s) from before their repair', needed.name, asset.name,
    asset.asset_type, series.timeframe, series.source), needed.version_id
FROM (
    SELECT snapshot.name, ingest.series_id, arg_max(ingest.version_id, ingest.ingest_id) AS version_id
    FROM {db}.ingest JOIN {db}.snapshot ON ingest.ingest_id <= snapshot.last_ingest
    GROUP BY snapshot.name, ingest.series_id
) AS needed
JOIN {db}.series USING (series_id)
JOIN {db}.asset USING (asset_id)
WHERE needed.version_id IN (
    {repaired}
)
ORDER BY needed.name, needed.version_id
