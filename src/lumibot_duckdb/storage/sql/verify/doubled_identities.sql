-- damage: the same thing stored under two ids.
SELECT printf('asset %s (%s) is there %d times', name, asset_type, count(*))
FROM {db}.asset GROUP BY name, asset_type, exchange HAVING count(*) > 1
UNION ALL
SELECT printf('series of asset %d, %s bars from %s, is there %d times', asset_id, timeframe, source, count(*))
FROM {db}.series GROUP BY asset_id, source, timeframe, adjustment HAVING count(*) > 1
UNION ALL
SELECT printf('ingest %d is there %d times', ingest_id, count(*))
FROM {db}.ingest GROUP BY ingest_id HAVING count(*) > 1
UNION ALL
SELECT printf('version %d is there %d times', version_id, count(*))
FROM {db}.series_version GROUP BY version_id HAVING count(*) > 1
UNION ALL
SELECT printf('series %d has no asset', series_id)
FROM {db}.series WHERE asset_id NOT IN (SELECT asset_id FROM {db}.asset)
