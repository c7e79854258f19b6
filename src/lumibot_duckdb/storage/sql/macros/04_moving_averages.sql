-- Moving averages, as TA-Lib defines them. Each begins with the first bar for which all of its bars exist.

CREATE OR REPLACE MACRO {db}.sma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, sma(close, i, n, per := asset_symbol) AS sma
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.ema(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, exponential_average(close, n, i, asset_symbol) AS ema
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

-- Weights that increase by one from bar to bar: the mean, and the covariance with the number of the bar. This takes much
-- less memory than the scalar macro's lists. `p` numbers the bars that have a value, from 0.
CREATE OR REPLACE MACRO {db}.weighted_average(value, n, p, per) AS
    CASE WHEN p >= n - 1 THEN
        avg(value) OVER (PARTITION BY per ORDER BY p ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
        + covar_pop(value, p) OVER (PARTITION BY per ORDER BY p ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) * 2 / (n + 1)
    END;

CREATE OR REPLACE MACRO {db}.wma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, weighted_average(close, n, i, asset_symbol) AS wma
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.dema(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
WITH once AS (
    SELECT *, exponential_average(close, n, i, asset_symbol) AS once
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
)
SELECT asset_symbol, "timestamp", close, 2 * once - exponential_average(once, n, i - n + 1, asset_symbol) AS dema
FROM once;

-- The exponential average of the exponential average, and that of this one.
CREATE OR REPLACE MACRO {db}.repeated_averages(symbol, timeframe, n, source, asset_type) AS TABLE
WITH once AS (
    SELECT *, exponential_average(close, n, i, asset_symbol) AS once
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
),
twice AS (
    SELECT *, exponential_average(once, n, i - n + 1, asset_symbol) AS twice
    FROM once
)
SELECT *, exponential_average(twice, n, i - 2 * n + 2, asset_symbol) AS thrice
FROM twice;

CREATE OR REPLACE MACRO {db}.tema(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, 3 * once - 3 * twice + thrice AS tema
FROM repeated_averages(symbol, timeframe, n, source, asset_type);

CREATE OR REPLACE MACRO {db}.hma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
WITH difference AS (
    SELECT
        *,
        2 * weighted_average(close, greatest(n // 2, 1), i, asset_symbol) - weighted_average(close, n, i, asset_symbol)
            AS difference
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
)
SELECT
    asset_symbol, "timestamp", close,
    weighted_average(difference, CAST(floor(sqrt(n)) AS BIGINT), i - n + 1, asset_symbol) AS hma
FROM difference;
