-- Trend.

CREATE OR REPLACE MACRO {db}.adx(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
WITH movement AS (
    SELECT
        *,
        high - lag(high) OVER (PARTITION BY asset_symbol ORDER BY i) AS up,
        lag(low) OVER (PARTITION BY asset_symbol ORDER BY i) - low AS down
    FROM ranged_bars(symbol, timeframe, source, asset_type, [n], 2)
),
-- TA-Lib begins these three with the sum of n - 1 values: the first of the n is nothing.
average AS (
    SELECT
        *,
        wilder_average(true_range, n, i, asset_symbol) AS movement,
        wilder_average(CASE WHEN up > down AND up > 0 THEN up ELSE 0 END, n, i, asset_symbol) AS plus,
        wilder_average(CASE WHEN down > up AND down > 0 THEN down ELSE 0 END, n, i, asset_symbol) AS minus
    FROM movement
),
direction AS (
    SELECT
        *,
        CASE WHEN i >= n THEN 100 * share_of(plus, movement, 0) END AS plus_di,
        CASE WHEN i >= n THEN 100 * share_of(minus, movement, 0) END AS minus_di,
        100 * share_of(abs(plus - minus), plus + minus, 0) AS dx
    FROM average
)
SELECT asset_symbol, "timestamp", close, wilder_average(dx, n, i - n, asset_symbol) AS adx, plus_di, minus_di
FROM direction;

-- How many bars ago were the highest high and the lowest low of n bars and this one? Going back in time, so that the last
-- of equal ones is found.
CREATE OR REPLACE MACRO {db}.aroon(symbol, timeframe := 'day', n := 25, source := NULL, asset_type := NULL) AS TABLE
WITH age AS (
    SELECT
        *,
        CASE WHEN i >= n THEN i - arg_max(i, high)
            OVER (PARTITION BY asset_symbol ORDER BY i DESC ROWS BETWEEN CURRENT ROW AND n FOLLOWING)
        END AS high_age,
        CASE WHEN i >= n THEN i - arg_min(i, low)
            OVER (PARTITION BY asset_symbol ORDER BY i DESC ROWS BETWEEN CURRENT ROW AND n FOLLOWING)
        END AS low_age
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
)
SELECT
    asset_symbol, "timestamp", close, 100 * (n - low_age) / n AS down, 100 * (n - high_age) / n AS up,
    100 * (low_age - high_age) / n AS oscillator
FROM age;

CREATE OR REPLACE MACRO {db}.ichimoku(
    symbol, timeframe := 'day', conversion := 9, base := 26, span := 52, source := NULL, asset_type := NULL
) AS TABLE
WITH middle AS (
    SELECT
        *,
        donchian_middle(high, low, i, conversion, per := asset_symbol) AS short,
        donchian_middle(high, low, i, base, per := asset_symbol) AS medium,
        donchian_middle(high, low, i, span, per := asset_symbol) AS long
    FROM numbered_bars(symbol, timeframe, source, asset_type, [conversion, base, span], 1)
)
SELECT
    asset_symbol, "timestamp", close, short AS conversion, medium AS base,
    lag((short + medium) / 2, base) OVER (PARTITION BY asset_symbol ORDER BY i) AS span_a,
    lag(long, base) OVER (PARTITION BY asset_symbol ORDER BY i) AS span_b
FROM middle;

-- From the bars of the last local day before that of the bar.
CREATE OR REPLACE MACRO {db}.pivot_points(
    symbol, timeframe := 'day', zone := 'America/New_York', source := NULL, asset_type := NULL
) AS TABLE
WITH dated AS (
    SELECT *, day_start("timestamp", zone) AS day
    FROM numbered_bars(symbol, timeframe, source, asset_type, [1], 1)
),
daily AS (
    SELECT asset_symbol, day, max(high) AS high, min(low) AS low, arg_max(close, i) AS close
    FROM dated
    GROUP BY asset_symbol, day
),
before AS (
    SELECT
        asset_symbol, day,
        lag(high) OVER (PARTITION BY asset_symbol ORDER BY day) AS high,
        lag(low) OVER (PARTITION BY asset_symbol ORDER BY day) AS low,
        lag(high + low + close) OVER (PARTITION BY asset_symbol ORDER BY day) / 3 AS middle
    FROM daily
)
SELECT
    dated.asset_symbol, dated."timestamp", dated.close, middle AS "pivot",
    2 * middle - before.low AS r1, 2 * middle - before.high AS s1,
    middle + before.high - before.low AS r2, middle - before.high + before.low AS s2,
    before.high + 2 * (middle - before.low) AS r3, before.low - 2 * (before.high - middle) AS s3
FROM dated
JOIN before USING (asset_symbol, day);
