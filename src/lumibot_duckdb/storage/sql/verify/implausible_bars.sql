-- remark: current bars whose prices cannot be: high below low, open or close outside of both, negative volume.
SELECT printf('%s (%s), %s bars from %s: %d bars, the first of %s UTC', asset.name, asset.asset_type, series.timeframe,
    series.source, count(*), strftime(CAST(min(bar.ts) AS TIMESTAMP), '%Y-%m-%d %H:%M:%S'))
FROM {db}.bar
JOIN {db}.series ON series.current_version = bar.version_id
JOIN {db}.asset USING (asset_id)
WHERE bar.high < bar.low OR bar.open > bar.high OR bar.open < bar.low OR bar.close > bar.high OR bar.close < bar.low
    OR bar.volume < 0
GROUP BY asset.name, asset.asset_type, series.timeframe, series.source, series.series_id
ORDER BY count(*) DESC, asset.name
LIMIT 20
