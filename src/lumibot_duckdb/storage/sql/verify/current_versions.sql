-- damage: a series whose current version is missing, superseded or another series'.
SELECT printf('series %d points to version %d, which %s', series.series_id, series.current_version,
    CASE
        WHEN version.version_id IS NULL THEN 'does not exist'
        WHEN version.series_id <> series.series_id THEN printf('belongs to series %d', version.series_id)
        ELSE 'was superseded'
    END)
FROM {db}.series
LEFT JOIN {db}.series_version AS version ON version.version_id = series.current_version
WHERE version.version_id IS NULL OR version.series_id <> series.series_id OR version.superseded_at IS NOT NULL
ORDER BY series.series_id
