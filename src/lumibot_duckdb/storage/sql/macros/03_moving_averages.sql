-- Moving averages, as TA-Lib defines them. Each begins with the first bar for which all of its bars exist.

-- For any query: FROM ohlcv_data SELECT sma(close, "timestamp", 20). With several series, name what they differ by:
-- sma(close, "timestamp", 20, per := asset_symbol).
CREATE OR REPLACE MACRO {db}.sma(value, moment, n, per := NULL) AS
    CASE
        WHEN count(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN avg(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
    END;

CREATE OR REPLACE MACRO {db}.sma(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, sma(close, "timestamp", n, per := asset_symbol) AS sma
FROM numbered_bars(symbol, timeframe, source, asset_type);

CREATE OR REPLACE MACRO {db}.ema(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
WITH added AS (
    SELECT *, added_value(close, n, 2 / (n + 1), i, n - 1, asset_symbol) AS added
    FROM numbered_bars(symbol, timeframe, source, asset_type)
),
block AS (
    SELECT *, own_block(added, 1 - 2 / (n + 1), i, n - 1, asset_symbol) AS part
    FROM added
)
SELECT asset_symbol, "timestamp", close, with_block_before(part, 1 - 2 / (n + 1), i, n - 1, asset_symbol) AS ema
FROM block;
