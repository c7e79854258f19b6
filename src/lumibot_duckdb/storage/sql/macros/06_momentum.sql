-- Momentum: oscillators, as TA-Lib defines them. Over a flat range, they are 0.

CREATE OR REPLACE MACRO {db}.rsi(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
WITH change AS (
    SELECT *, momentum(close, i, 1, per := asset_symbol) AS change
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
),
average AS (
    SELECT
        *,
        wilder_average(greatest(change, 0), n, i - 1, asset_symbol) AS gain,
        wilder_average(abs(change), n, i - 1, asset_symbol) AS movement
    FROM change
)
SELECT asset_symbol, "timestamp", close, 100 * share_of(gain, movement, 0) AS rsi
FROM average;

CREATE OR REPLACE MACRO {db}.stochastic(
    symbol, timeframe := 'day', n := 14, k := 3, d := 3, source := NULL, asset_type := NULL
) AS TABLE
WITH fast AS (
    SELECT *, place_in_range(high, low, close, i, n, per := asset_symbol) AS fast
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n, k, d], 1)
),
slow AS (
    SELECT *, sma(fast, i, k, per := asset_symbol) AS slow
    FROM fast
)
SELECT
    asset_symbol, "timestamp", close, CASE WHEN i >= n + k + d - 3 THEN slow END AS k,
    sma(slow, i, d, per := asset_symbol) AS d
FROM slow;

CREATE OR REPLACE MACRO {db}.fast_stochastic(
    symbol, timeframe := 'day', n := 14, d := 3, source := NULL, asset_type := NULL
) AS TABLE
WITH fast AS (
    SELECT *, place_in_range(high, low, close, i, n, per := asset_symbol) AS fast
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n, d], 1)
)
SELECT
    asset_symbol, "timestamp", close, CASE WHEN i >= n + d - 2 THEN fast END AS k, sma(fast, i, d, per := asset_symbol) AS d
FROM fast;

CREATE OR REPLACE MACRO {db}.stoch_rsi(
    symbol, timeframe := 'day', n := 14, m := 14, d := 3, source := NULL, asset_type := NULL
) AS TABLE
WITH fast AS (
    SELECT *, place_in_range(rsi, rsi, rsi, "timestamp", m, per := asset_symbol) AS fast
    FROM rsi(symbol, timeframe, n, source, asset_type)
    WHERE checked_lengths([m, d], 1)
),
slow AS (
    SELECT *, sma(fast, "timestamp", d, per := asset_symbol) AS slow
    FROM fast
)
SELECT asset_symbol, "timestamp", close, CASE WHEN slow IS NOT NULL THEN fast END AS k, slow AS d
FROM slow;

CREATE OR REPLACE MACRO {db}.macd(
    symbol, timeframe := 'day', fast := 12, slow := 26, signal := 9, source := NULL, asset_type := NULL
) AS TABLE
WITH difference AS (
    SELECT
        *,
        exponential_average(close, least(fast, slow), i - abs(slow - fast), asset_symbol)
            - exponential_average(close, greatest(fast, slow), i, asset_symbol) AS difference
    FROM numbered_bars(symbol, timeframe, source, asset_type, [fast, slow, signal], 1)
),
smooth AS (
    SELECT *, exponential_average(difference, signal, i - greatest(fast, slow) + 1, asset_symbol) AS smooth
    FROM difference
)
SELECT
    asset_symbol, "timestamp", close, CASE WHEN smooth IS NOT NULL THEN difference END AS macd, smooth AS signal,
    difference - smooth AS histogram
FROM smooth;

-- Each bar's window is cut out of the lists of its block of n bars and of the block before. The lists of the scalar macro
-- take much more memory.
CREATE OR REPLACE MACRO {db}.cci(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
WITH block AS (
    SELECT
        asset_symbol, i // n AS block, list({'moment': "timestamp", 'close': close} ORDER BY i) AS bars,
        list((high + low + close) / 3 ORDER BY i) AS prices
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
    GROUP BY asset_symbol, block
),
pair AS (
    SELECT *, lag(prices) OVER (PARTITION BY asset_symbol ORDER BY block) AS before
    FROM block
),
place AS (
    SELECT *, unnest(bars) AS bar, unnest(prices) AS typical, unnest(range(1, len(bars) + 1)) AS place
    FROM pair
),
recent AS (
    SELECT asset_symbol, bar, typical, list_concat(list_slice(before, place + 1, n), list_slice(prices, 1, place)) AS recent
    FROM place
),
average AS (
    SELECT *, CASE WHEN len(recent) = n THEN list_avg(recent) END AS mean
    FROM recent
)
SELECT
    asset_symbol, bar.moment AS "timestamp", bar.close AS close,
    share_of(typical - mean, list_avg(list_transform(recent, lambda each: abs(each - mean))), typical) / 0.015 AS cci
FROM average;

CREATE OR REPLACE MACRO {db}.williams_r(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, williams_r(high, low, close, i, n, per := asset_symbol) AS williams_r
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2);

CREATE OR REPLACE MACRO {db}.roc(symbol, timeframe := 'day', n := 10, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, roc(close, i, n, per := asset_symbol) AS roc
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.momentum(symbol, timeframe := 'day', n := 10, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, momentum(close, i, n, per := asset_symbol) AS momentum
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.trix(symbol, timeframe := 'day', n := 15, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, roc(thrice, i, 1, per := asset_symbol) AS trix
FROM repeated_averages(symbol, timeframe, n, source, asset_type);
