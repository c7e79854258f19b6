-- Volatility, and distance from the mean and from the highest close.

CREATE OR REPLACE MACRO {db}.atr(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, wilder_average(true_range, n, i - 1, asset_symbol) AS atr
FROM ranged_bars(symbol, timeframe, source, asset_type, [n], 1);

CREATE OR REPLACE MACRO {db}.natr(symbol, timeframe := 'day', n := 14, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, CASE WHEN atr IS NOT NULL THEN 100 * share_of(atr, close, 0) END AS natr
FROM atr(symbol, timeframe, n, source, asset_type)
WHERE checked_lengths([n], 2);

-- The root of the mean of n variances, times the root of the bars of a year if `annual` is their number.
CREATE OR REPLACE MACRO {db}.root_mean(variance, moment, n, annual, per) AS
    CASE
        WHEN sma(variance, moment, n, per := per) >= 0
        THEN sqrt(sma(variance, moment, n, per := per)) * sqrt(coalesce(annual, 1))
    END;

CREATE OR REPLACE MACRO {db}.volatility(
    symbol, timeframe := 'day', n := 20, annual := NULL, source := NULL, asset_type := NULL
) AS TABLE
WITH before AS (
    SELECT *, lag(close) OVER (PARTITION BY asset_symbol ORDER BY i) AS before
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2)
),
return AS (
    SELECT *, CASE WHEN close > 0 AND before > 0 THEN ln(close / before) END AS return
    FROM before
)
SELECT
    asset_symbol, "timestamp", close,
    deviation(return, i, n, per := asset_symbol) * sqrt(n / (n - 1) * coalesce(annual, 1)) AS volatility
FROM return;

CREATE OR REPLACE MACRO {db}.parkinson(
    symbol, timeframe := 'day', n := 20, annual := NULL, source := NULL, asset_type := NULL
) AS TABLE
WITH variance AS (
    SELECT *, CASE WHEN high > 0 AND low > 0 THEN pow(ln(high / low), 2) / (4 * ln(2)) END AS variance
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
)
SELECT asset_symbol, "timestamp", close, root_mean(variance, i, n, annual, asset_symbol) AS parkinson
FROM variance;

CREATE OR REPLACE MACRO {db}.garman_klass(
    symbol, timeframe := 'day', n := 20, annual := NULL, source := NULL, asset_type := NULL
) AS TABLE
WITH variance AS (
    SELECT
        *,
        CASE WHEN open > 0 AND high > 0 AND low > 0 AND close > 0
            THEN pow(ln(high / low), 2) / 2 - (2 * ln(2) - 1) * pow(ln(close / open), 2)
        END AS variance
    FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 1)
)
SELECT asset_symbol, "timestamp", close, root_mean(variance, i, n, annual, asset_symbol) AS garman_klass
FROM variance;

CREATE OR REPLACE MACRO {db}.zscore(symbol, timeframe := 'day', n := 20, source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, zscore(close, i, n, per := asset_symbol) AS zscore
FROM numbered_bars(symbol, timeframe, source, asset_type, [n], 2);

CREATE OR REPLACE MACRO {db}.drawdown(symbol, timeframe := 'day', source := NULL, asset_type := NULL) AS TABLE
SELECT asset_symbol, "timestamp", close, drawdown(close, i, per := asset_symbol) AS drawdown
FROM numbered_bars(symbol, timeframe, source, asset_type, [1], 1);
