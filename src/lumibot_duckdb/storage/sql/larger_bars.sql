-- Larger bars of the rows of `bar` that {which} selects, made as the macro `resample` makes them.
--
-- Bars without a finite close are left out. An open, high or low that is missing counts as the close.
WITH found AS (
    SELECT
        CAST(ts AS TIMESTAMP) AS ts,
        CASE
            WHEN {of_days} AND CAST(ts AS TIMESTAMP) = date_trunc('day', CAST(ts AS TIMESTAMP))
            THEN CAST(ts AS TIMESTAMP)
            ELSE date_trunc('day', CAST(ts AS TIMESTAMP) AT TIME ZONE 'UTC' AT TIME ZONE $zone)
        END AS day,
        CAST({close} AS DOUBLE) AS close,
        CAST({open} AS DOUBLE) AS open,
        CAST({high} AS DOUBLE) AS high,
        CAST({low} AS DOUBLE) AS low,
        CAST({volume} AS DOUBLE) AS volume
    FROM {bar}
    WHERE {which} AND isfinite(CAST({close} AS DOUBLE))
),
placed AS (
    SELECT
        {start} AS start,
        ts,
        close,
        CASE WHEN isfinite(open) THEN open ELSE close END AS open,
        CASE WHEN isfinite(high) THEN high ELSE close END AS high,
        CASE WHEN isfinite(low) THEN low ELSE close END AS low,
        CASE WHEN isfinite(volume) THEN volume END AS volume
    FROM found
)
SELECT
    CASE
        WHEN {within_day} OR {of_days} AND min(placed.ts) = date_trunc('day', min(placed.ts)) THEN start
        ELSE start AT TIME ZONE $zone AT TIME ZONE 'UTC'
    END AS ts,
    arg_min(open, placed.ts) AS open,
    max(high) AS high,
    min(low) AS low,
    arg_max(close, placed.ts) AS close,
    sum(volume) AS volume,
    count(*) AS bars
FROM placed
GROUP BY start
ORDER BY start
