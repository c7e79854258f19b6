-- Indicators that need a window only, for any query: SELECT sma(close, "timestamp", 20) FROM ohlcv_data WHERE ...
-- With several series, name what they differ by: sma(close, "timestamp", 20, per := asset_symbol).
--
-- They are NULL until there are n bars with values.

CREATE OR REPLACE MACRO {db}.sma(value, moment, n, per := NULL) AS
    CASE
        WHEN count(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN avg(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
    END;

CREATE OR REPLACE MACRO {db}.wma(value, moment, n, per := NULL) AS
    CASE
        WHEN count(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN list_dot_product(
            -- Without NULLs, which it refuses in any row.
            list(value) FILTER (value IS NOT NULL)
                OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW),
            CAST(range(1, n + 1) AS DOUBLE[])
        ) / (n * (n + 1) / 2)
    END;

-- The population's standard deviation: exactly 0 if all values are equal.
CREATE OR REPLACE MACRO {db}.deviation(value, moment, n, per := NULL) AS
    CASE
        WHEN count(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) < n THEN NULL
        WHEN max(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
            > min(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
        THEN stddev_pop(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
        ELSE 0
    END;

CREATE OR REPLACE MACRO {db}.zscore(value, moment, n, per := NULL) AS
    (value - sma(value, moment, n, per := per)) / nullif(deviation(value, moment, n, per := per), 0);

CREATE OR REPLACE MACRO {db}.bollinger_lower(value, moment, n, k, per := NULL) AS
    sma(value, moment, n, per := per) - k * deviation(value, moment, n, per := per);

CREATE OR REPLACE MACRO {db}.bollinger_upper(value, moment, n, k, per := NULL) AS
    sma(value, moment, n, per := per) + k * deviation(value, moment, n, per := per);

CREATE OR REPLACE MACRO {db}.donchian_upper(high, moment, n, per := NULL) AS
    CASE
        WHEN count(high) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN max(high) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
    END;

CREATE OR REPLACE MACRO {db}.donchian_lower(low, moment, n, per := NULL) AS
    CASE
        WHEN count(low) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN min(low) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
    END;

CREATE OR REPLACE MACRO {db}.donchian_middle(high, low, moment, n, per := NULL) AS
    (donchian_upper(high, moment, n, per := per) + donchian_lower(low, moment, n, per := per)) / 2;

-- A part of a whole, and 0 if the whole is no more than rounding of numbers of this size, as in TA-Lib.
CREATE OR REPLACE MACRO {db}.share_of(part, whole, size) AS
    CASE WHEN abs(whole) <= 1e-14 * abs(size) THEN 0 ELSE part / whole END;

-- Where the close lies between the lowest and the highest price, from 0 to 100: 0 if these are equal.
CREATE OR REPLACE MACRO {db}.place_in_range(high, low, close, moment, n, per := NULL) AS
    100 * share_of(
        close - donchian_lower(low, moment, n, per := per),
        donchian_upper(high, moment, n, per := per) - donchian_lower(low, moment, n, per := per),
        close
    );

CREATE OR REPLACE MACRO {db}.williams_r(high, low, close, moment, n, per := NULL) AS
    100 * share_of(
        close - donchian_upper(high, moment, n, per := per),
        donchian_upper(high, moment, n, per := per) - donchian_lower(low, moment, n, per := per),
        close
    );

CREATE OR REPLACE MACRO {db}.roc(value, moment, n, per := NULL) AS
    CASE lag(value, n) OVER (PARTITION BY per ORDER BY moment)
        WHEN 0 THEN 0
        ELSE 100 * (value / lag(value, n) OVER (PARTITION BY per ORDER BY moment) - 1)
    END;

CREATE OR REPLACE MACRO {db}.momentum(value, moment, n, per := NULL) AS
    value - lag(value, n) OVER (PARTITION BY per ORDER BY moment);

CREATE OR REPLACE MACRO {db}.drawdown(value, moment, per := NULL) AS
    CASE
        WHEN max(value) OVER (PARTITION BY per ORDER BY moment ROWS UNBOUNDED PRECEDING) > 0
        THEN value / max(value) OVER (PARTITION BY per ORDER BY moment ROWS UNBOUNDED PRECEDING) - 1
    END;

CREATE OR REPLACE MACRO {db}.vwap(high, low, close, volume, moment, n, per := NULL) AS
    CASE
        WHEN count(close) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN sum((high + low + close) / 3 * volume)
            OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
            / nullif(sum(volume) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW), 0)
    END;

-- The mean distance from the mean of n values.
CREATE OR REPLACE MACRO {db}.mean_distance(value, moment, n, per := NULL) AS
    CASE
        WHEN count(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW) = n
        THEN list_transform([{
            'recent': list(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW),
            'middle': avg(value) OVER (PARTITION BY per ORDER BY moment ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
        }], lambda bars: list_avg(list_transform(bars.recent, lambda each: abs(each - bars.middle))))[1]
    END;

CREATE OR REPLACE MACRO {db}.cci(high, low, close, moment, n, per := NULL) AS
    share_of(
        (high + low + close) / 3 - sma((high + low + close) / 3, moment, n, per := per),
        mean_distance((high + low + close) / 3, moment, n, per := per),
        (high + low + close) / 3
    ) / 0.015;
