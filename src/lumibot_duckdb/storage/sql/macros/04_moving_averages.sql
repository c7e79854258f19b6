-- Moving averages, as TA-Lib defines them. Each begins with the first bar for which all of its bars exist.

CREATE OR REPLACE MACRO {db}.sma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, sma(close, i, n, per := asset_symbol) AS sma
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.ema(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, exponential_average(close, n, i, asset_symbol) AS ema
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.wma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, wma(close, i, n, per := asset_symbol) AS wma
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
    SELECT *, 2 * wma(close, i, greatest(n // 2, 1), per := asset_symbol) - wma(close, i, n, per := asset_symbol) AS difference
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
)
SELECT asset_symbol, "timestamp", close, wma(difference, i, CAST(floor(sqrt(n)) AS BIGINT), per := asset_symbol) AS hma
FROM difference;
