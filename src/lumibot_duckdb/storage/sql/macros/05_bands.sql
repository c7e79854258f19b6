-- Bands around the price.

CREATE OR REPLACE MACRO {db}.bollinger(
    symbol, timeframe := 'day', n := 20, k := 2.0, source := NULL, asset_type := NULL
) AS TABLE
WITH bands AS (
    SELECT *, sma(close, i, n, per := asset_symbol) AS mean, k * deviation(close, i, n, per := asset_symbol) AS half
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
    WHERE checked_factor(k)
)
SELECT
    asset_symbol, "timestamp", close, mean - half AS lower, mean AS middle, mean + half AS upper,
    (close - mean + half) / nullif(2 * half, 0) AS percent_b,
    2 * half / nullif(mean, 0) AS bandwidth
FROM bands;

CREATE OR REPLACE MACRO {db}.keltner(
    symbol, timeframe := 'day', n := 20, k := 2.0, source := NULL, asset_type := NULL
) AS TABLE
WITH bands AS (
    SELECT
        *,
        exponential_average(close, n, i, asset_symbol) AS mean,
        k * wilder_average(true_range, n, i - 1, asset_symbol) AS half
    FROM ranged_bars(symbol, timeframe, source, asset_type, [n], 1)
    WHERE checked_factor(k)
)
SELECT
    asset_symbol, "timestamp", close, mean - half AS lower, CASE WHEN half IS NOT NULL THEN mean END AS middle,
    mean + half AS upper
FROM bands;

CREATE OR REPLACE MACRO {db}.donchian(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT
    asset_symbol, "timestamp", close,
    donchian_lower(low, i, n, per := asset_symbol) AS lower,
    donchian_middle(high, low, i, n, per := asset_symbol) AS middle,
    donchian_upper(high, i, n, per := asset_symbol) AS upper
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);
