-- Several assets together: correlation, beta, spread and ratio. They are compared at the times at which all of them have
-- a close. The methods are 'returns', 'log_returns' and 'differences' from one of these times to the next, and 'prices'.

-- The time by which bars of different calendars are joined: bars of days and longer by the day that they begin on, which is
-- that of UTC if they begin at midnight there, as those of crypto exchanges do, else that of New York.
CREATE OR REPLACE MACRO {db}.joining_time(moment, timeframe) AS
    CASE
        WHEN length_unit(bar_length(timeframe)) = 'time' THEN moment
        ELSE CASE
            WHEN moment = date_trunc('day', moment) THEN moment
            ELSE day_start(moment, 'America/New_York')
        END AT TIME ZONE 'America/New_York' AT TIME ZONE 'UTC'
    END;

CREATE OR REPLACE MACRO {db}.joined_closes(symbols, timeframe, source, asset_type) AS TABLE
WITH found AS (
    SELECT asset_symbol, joining_time("timestamp", timeframe) AS "timestamp", arg_max(close, "timestamp") AS close
    FROM resample(symbols, timeframe, source := source, asset_type := asset_type)
    WHERE isfinite(close)
    GROUP BY ALL
)
FROM found
QUALIFY count(*) OVER (PARTITION BY "timestamp") = list_unique(symbol_list(symbols));

CREATE OR REPLACE MACRO {db}.finite_value(value) AS CASE WHEN isfinite(value) THEN value END;

-- There is no return since a price of 0 or less: a rise from -37 to 10 would be a loss.
CREATE OR REPLACE MACRO {db}.price_return(close, before) AS
    finite_value(CASE WHEN before > 0 THEN close / before - 1 END);

CREATE OR REPLACE MACRO {db}.joined_changes(symbols, timeframe, method, source, asset_type) AS TABLE
WITH paired AS (
    SELECT *, lag(close) OVER (PARTITION BY asset_symbol ORDER BY "timestamp") AS before
    FROM joined_closes(symbols, timeframe, source, asset_type)
)
SELECT
    asset_symbol, "timestamp",
    finite_value(CASE method
        WHEN 'returns' THEN price_return(close, before)
        WHEN 'log_returns' THEN CASE WHEN close > 0 AND before > 0 THEN ln(close / before) END
        WHEN 'differences' THEN close - before
        WHEN 'prices' THEN close
        ELSE error(format('''{}'' is not a method: write ''returns'', ''log_returns'', ''differences'' or ''prices''', method))
    END) AS change
FROM paired;

CREATE OR REPLACE MACRO {db}.correlation(
    symbols, timeframe := 'day', method := 'returns', source := NULL, asset_type := NULL
) AS TABLE
WITH changes AS MATERIALIZED (
    FROM joined_changes(symbols, timeframe, method, source, asset_type)
    WHERE change IS NOT NULL
)
SELECT
    one.asset_symbol, other.asset_symbol AS other_symbol, finite_value(corr(one.change, other.change)) AS correlation,
    finite_value(covar_samp(one.change, other.change)) AS covariance, count(*) AS bars
FROM changes AS one
JOIN changes AS other USING ("timestamp")
GROUP BY one.asset_symbol, other.asset_symbol;

-- Changes of two assets at the same times.
CREATE OR REPLACE MACRO {db}.paired_changes(first, second, timeframe, method, source, asset_type) AS TABLE
WITH changes AS MATERIALIZED (
    FROM joined_changes([first, second], timeframe, method, source, asset_type)
    WHERE change IS NOT NULL
)
SELECT one."timestamp", one.change AS x, other.change AS y
FROM changes AS one
JOIN changes AS other USING ("timestamp")
WHERE one.asset_symbol = first AND other.asset_symbol = second;

-- Correlation, and the regression of y on x, of the last n pairs. Windows are combined from parts, whose means are rounded:
-- so what does not change is recognised by its extremes.
CREATE OR REPLACE MACRO {db}.paired_windows(first, second, timeframe, n, method, source, asset_type) AS TABLE
SELECT
    "timestamp",
    CASE WHEN min(x) OVER bars < max(x) OVER bars AND min(y) OVER bars < max(y) OVER bars
        THEN greatest(-1, least(1, corr(x, y) OVER bars))
    END AS correlation,
    CASE WHEN min(x) OVER bars < max(x) OVER bars THEN covar_pop(x, y) OVER bars / var_pop(x) OVER bars END AS beta,
    avg(y) OVER bars AS mean_y, avg(x) OVER bars AS mean_x
FROM paired_changes(first, second, timeframe, method, source, asset_type)
WHERE checked_lengths([n], 2)
WINDOW bars AS (ORDER BY "timestamp" ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
QUALIFY row_number() OVER (ORDER BY "timestamp") >= n;

CREATE OR REPLACE MACRO {db}.rolling_correlation(
    first, second, timeframe := 'day', n := 100, method := 'returns', source := NULL, asset_type := NULL
) AS TABLE
SELECT "timestamp", correlation
FROM paired_windows(first, second, timeframe, n, method, source, asset_type);

CREATE OR REPLACE MACRO {db}.beta(
    symbols, benchmark, timeframe := 'day', method := 'returns', source := NULL, asset_type := NULL
) AS TABLE
WITH changes AS MATERIALIZED (
    FROM joined_changes(list_append(symbol_list(symbols), benchmark), timeframe, method, source, asset_type)
    WHERE change IS NOT NULL
)
SELECT
    one.asset_symbol, finite_value(regr_slope(one.change, other.change)) AS beta,
    finite_value(regr_intercept(one.change, other.change)) AS alpha,
    finite_value(corr(one.change, other.change)) AS correlation, count(*) AS bars
FROM changes AS one
JOIN changes AS other USING ("timestamp")
WHERE other.asset_symbol = benchmark AND list_contains(symbol_list(symbols), one.asset_symbol)
GROUP BY one.asset_symbol;

CREATE OR REPLACE MACRO {db}.rolling_beta(
    symbol, benchmark, timeframe := 'day', n := 100, method := 'returns', source := NULL, asset_type := NULL
) AS TABLE
SELECT "timestamp", beta, mean_y - beta * mean_x AS alpha, correlation
FROM paired_windows(benchmark, symbol, timeframe, n, method, source, asset_type);

CREATE OR REPLACE MACRO {db}.spread(
    first, second, timeframe := 'day', n := 20, hedge_ratio := 1.0, source := NULL, asset_type := NULL
) AS TABLE
WITH closes AS MATERIALIZED (
    FROM joined_closes([first, second], timeframe, source, asset_type)
    WHERE checked_lengths([n], 2)
),
spreads AS (
    SELECT
        "timestamp", one.close - hedge_ratio * other.close AS spread, one.close / nullif(other.close, 0) AS ratio
    FROM closes AS one
    JOIN closes AS other USING ("timestamp")
    WHERE one.asset_symbol = first AND other.asset_symbol = second
)
SELECT
    "timestamp", spread, ratio,
    zscore(spread, "timestamp", n) AS spread_zscore, zscore(ratio, "timestamp", n) AS ratio_zscore
FROM spreads;
