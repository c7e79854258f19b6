-- Assets by a label, such as their sector: for each of its values and each time, the returns of the assets that have it. A
-- return is the change since the asset's own close before, and a weight is of that bar, so that neither looks ahead.
CREATE OR REPLACE MACRO {db}.by_label(
    label, timeframe := 'day', weights := 'equal', source := NULL, asset_type := NULL
) AS TABLE
WITH labelled AS MATERIALIZED (
    SELECT DISTINCT asset.name AS asset_symbol, l.value
    FROM asset_label AS l
    JOIN asset ON (asset.name, asset.asset_type, asset.exchange) = (l.asset_symbol, l.asset_type, l.exchange)
    WHERE l.name = lower(label) AND (asset_type IS NULL OR l.asset_type = asset_type)
        AND asset.asset_id IN (SELECT asset_id FROM series)
),
bars AS (
    SELECT
        asset_symbol, joining_time("timestamp", timeframe) AS "timestamp", arg_max(close, "timestamp") AS close,
        finite_value(arg_max(coalesce(volume, 'nan'), "timestamp")) AS volume
    FROM resample(
        (
            SELECT CASE count(*)
                WHEN 0 THEN error(format('no asset that has bars has a label ''{}''', coalesce(label, 'NULL')))
                ELSE list(asset_symbol)
            END
            FROM labelled
        ),
        timeframe, source := source, asset_type := asset_type
    )
    WHERE isfinite(close)
    GROUP BY ALL
),
changes AS (
    SELECT
        asset_symbol, "timestamp", volume,
        price_return(close, lag(close) OVER earlier) AS change,
        CASE weights
            WHEN 'equal' THEN 1
            WHEN 'dollar_volume' THEN lag(close * volume) OVER earlier
            ELSE error(format('''{}'' are no weights: write ''equal'' or ''dollar_volume''', weights))
        END AS weight
    FROM bars
    WINDOW earlier AS (PARTITION BY asset_symbol ORDER BY "timestamp")
),
grouped AS (
    SELECT
        value, "timestamp", count(change) AS members,
        sum(change * weight) FILTER (weight > 0)
            / sum(weight) FILTER (weight > 0 AND change IS NOT NULL) AS mean_return,
        median(change) AS median_return, count(*) FILTER (change > 0) AS advancers,
        count(*) FILTER (change < 0) AS decliners, count(*) FILTER (change = 0) AS unchanged, sum(volume) AS volume
    FROM changes
    JOIN labelled USING (asset_symbol)
    GROUP BY ALL
)
SELECT
    *,
    -- Once more than all is lost, there is none: a gain of a debt would be a larger debt.
    CASE WHEN min(1 + coalesce(mean_return, 0)) OVER so_far >= 0
        THEN product(1 + coalesce(mean_return, 0)) OVER so_far
    END AS level
FROM grouped
WINDOW so_far AS (PARTITION BY value ORDER BY "timestamp");
