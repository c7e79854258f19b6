-- Volume. NULL as long as no bar has a volume.

CREATE OR REPLACE MACRO {db}.vwap(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, vwap(high, low, close, volume, i, n, per := asset_symbol) AS vwap
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1);

-- From midnight in `zone` on.
CREATE OR REPLACE MACRO {db}.vwap_session(
    symbol, timeframe := 'minute', zone := 'America/New_York', source := NULL, asset_type := NULL
) AS TABLE
WITH dated AS (
    SELECT *, day_start("timestamp", zone) AS day
    FROM numbered_bars(symbol, timeframe, source, asset_type, [1], 1)
)
SELECT
    asset_symbol, "timestamp", close,
    sum((high + low + close) / 3 * volume) OVER (PARTITION BY asset_symbol, day ORDER BY i ROWS UNBOUNDED PRECEDING)
        / nullif(sum(volume) OVER (PARTITION BY asset_symbol, day ORDER BY i ROWS UNBOUNDED PRECEDING), 0)
        AS vwap_session
FROM dated;

CREATE OR REPLACE MACRO {db}.obv(symbol, timeframe := 'day', source := NULL, asset_type := NULL) AS TABLE
WITH change AS (
    SELECT *, momentum(close, i, 1, per := asset_symbol) AS change
    FROM numbered_bars(symbol, timeframe, source, asset_type, [1], 1)
)
SELECT
    asset_symbol, "timestamp", close,
    sum(CASE WHEN i = 0 THEN volume ELSE sign(change) * volume END)
        OVER (PARTITION BY asset_symbol ORDER BY i ROWS UNBOUNDED PRECEDING) AS obv
FROM change;

CREATE OR REPLACE MACRO {db}.mfi(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
WITH change AS (
    SELECT
        *,
        (high + low + close) / 3 AS typical,
        momentum((high + low + close) / 3, i, 1, per := asset_symbol) AS change
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
),
-- A change that is no more than rounding is none, as in TA-Lib.
flow AS (
    SELECT
        *, volume * typical AS flow,
        CASE WHEN abs(change) <= 1e-14 * abs(typical) THEN 0 ELSE sign(change) END AS direction
    FROM change
),
-- Of negative prices, the flow is negative; there is no share of a sum below zero.
sums AS (
    SELECT
        *,
        sum(flow * greatest(direction, 0)) OVER bars AS rising,
        sum(flow * abs(direction)) OVER bars AS total
    FROM flow
    WINDOW bars AS (PARTITION BY asset_symbol ORDER BY i ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
)
SELECT
    asset_symbol, "timestamp", close,
    CASE WHEN i >= n AND total IS NOT NULL THEN CASE WHEN total > 0 THEN 100 * rising / total ELSE 0 END END AS mfi
FROM sums;
