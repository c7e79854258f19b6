-- Bars of any symbol and timeframe, on which all indicators are computed. docs/indicators.md documents the macros.
--
-- Names inside macros are unqualified: they work after `USE` of the attached store, or if it was opened directly.

-- A symbol, or a list of symbols, as a list.
CREATE OR REPLACE MACRO {db}.symbol_list(symbols) AS
    CASE
        WHEN json_type(to_json(symbols)) = 'ARRAY' THEN CAST(to_json(symbols) AS VARCHAR[])
        ELSE [to_json(symbols) ->> '$']
    END;

-- A timeframe in any of its usual spellings as {n, unit}. "m" is a minute, and "M" or "mo" a month.
CREATE OR REPLACE MACRO {db}.timeframe_parts(spelling) AS TABLE
WITH split AS (
    SELECT
        coalesce(TRY_CAST(regexp_extract(spelling, '^\s*(\d{1,6})', 1) AS INTEGER), 1) AS n,
        regexp_extract(spelling, '^\s*\d{0,6}\s*-?\s*([a-zA-Z]+)\s*$', 1) AS word
)
SELECT
    CASE
        WHEN n >= 1 AND unit IS NOT NULL THEN n
        ELSE error(format('''{}'' is not a timeframe: write, for example, ''minute'', ''15 minutes'' or ''day''', spelling))
    END AS n,
    unit,
    n * unit_seconds(unit) AS seconds
FROM (
    SELECT
        n,
        MAP {
            's': 'second', 'sec': 'second', 'secs': 'second', 'second': 'second', 'seconds': 'second',
            'm': 'minute', 't': 'minute', 'min': 'minute', 'mins': 'minute', 'minute': 'minute', 'minutes': 'minute',
            'h': 'hour', 'hr': 'hour', 'hrs': 'hour', 'hour': 'hour', 'hours': 'hour',
            'd': 'day', 'day': 'day', 'days': 'day', 'daily': 'day',
            'w': 'week', 'wk': 'week', 'wks': 'week', 'week': 'week', 'weeks': 'week', 'weekly': 'week',
            'mo': 'month', 'mos': 'month', 'mon': 'month', 'month': 'month', 'months': 'month', 'monthly': 'month'
        }[CASE WHEN word = 'M' AND n = 1 THEN 'mo' ELSE lower(word) END] AS unit
    FROM split
);

-- The length of a unit in seconds; a month counts as 31 days.
CREATE OR REPLACE MACRO {db}.unit_seconds(unit) AS
    MAP {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86400, 'week': 604800, 'month': 2678400}[unit];

-- One series for each symbol: bars of the timeframe, or else the largest bars of which those are made.
-- Several series, or none, are an error.
CREATE OR REPLACE MACRO {db}.chosen_series(symbols, spelling, source_name, type_name) AS TABLE
WITH wanted AS (
    SELECT DISTINCT unnest(symbol_list(symbols)) AS asset_symbol
),
asked AS (
    FROM timeframe_parts(spelling)
),
stored AS (
    SELECT
        asset.name AS asset_symbol,
        asset.asset_type,
        series.source || CASE WHEN series.adjustment = '' THEN '' ELSE ':' || series.adjustment END AS source,
        series.timeframe,
        series.current_version AS version_id,
        regexp_extract(series.timeframe, '[a-z]+$') AS unit,
        coalesce(TRY_CAST(regexp_extract(series.timeframe, '^\d+') AS INTEGER), 1) * unit_seconds(regexp_extract(series.timeframe, '[a-z]+$')) AS seconds
    FROM series
    JOIN asset ON asset.asset_id = series.asset_id
    WHERE asset.name IN (FROM wanted)
        AND (source_name IS NULL OR source_name IN (series.source, series.source || ':' || series.adjustment))
        AND (type_name IS NULL OR asset.asset_type = type_name)
),
largest AS (
    SELECT stored.*, asked.n AS asked_n, asked.unit AS asked_unit, asked.seconds AS asked_seconds
    FROM stored, asked
    WHERE stored.seconds = asked.seconds
        OR stored.seconds < asked.seconds AND stored.unit <> 'month'
        AND CASE WHEN asked.unit = 'month' THEN 86400 ELSE asked.seconds END % stored.seconds = 0
    QUALIFY rank() OVER (PARTITION BY asset_symbol ORDER BY stored.seconds DESC) = 1
)
SELECT
    asset_symbol,
    any_value(version_id) AS version_id,
    any_value(asset_type) AS asset_type,
    any_value(source) AS source,
    -- Here, because whoever reads bars asks for this first: the planner skips columns that nobody needs.
    CASE count(version_id)
        WHEN 1 THEN any_value(seconds) = any_value(asked_seconds)
        WHEN 0 THEN error(format('the store has no bars of {} of which bars of ''{}'' can be made{}', asset_symbol, spelling,
            CASE WHEN source_name IS NULL THEN '' ELSE ' in the source ' || source_name END))
        ELSE error(format('{} has several series with bars of ''{}'': {}. Choose one with source := or asset_type :=',
            asset_symbol, any_value(timeframe),
            string_agg(source || ' (' || asset_type || ')', ', ' ORDER BY source)))
    END AS as_stored,
    any_value(asked_n) AS n,
    any_value(asked_unit) AS unit,
    any_value(asked_seconds) AS seconds
FROM (SELECT asset_symbol FROM wanted) AS wanted
LEFT JOIN largest USING (asset_symbol)
GROUP BY asset_symbol;

-- The midnight in `zone` at which a moment's day began, as local time.
CREATE OR REPLACE MACRO {db}.day_start(moment, zone) AS
    date_trunc('day', moment AT TIME ZONE 'UTC' AT TIME ZONE zone);

-- The start, in UTC, of the bar of a timeframe that a moment belongs to. Days begin at midnight in `zone`, and so do the
-- larger bars of a day, as in Lumibot; with a session ('09:30-16:00') they begin when it opens. Weeks begin on Monday.
CREATE OR REPLACE MACRO {db}.bar_start(moment, n, unit, zone, opening) AS
    CASE
        WHEN unit IN ('second', 'minute', 'hour') THEN time_bucket(
            to_seconds(n * unit_seconds(unit)), moment,
            (CAST(day_start(moment, zone) AS DATE) + opening) AT TIME ZONE zone AT TIME ZONE 'UTC'
        )
        WHEN unit = 'month' THEN time_bucket(to_months(n), day_start(moment, zone), TIMESTAMP '2000-01-01')
            AT TIME ZONE zone AT TIME ZONE 'UTC'
        ELSE time_bucket(to_days(n * CASE WHEN unit = 'week' THEN 7 ELSE 1 END), day_start(moment, zone), TIMESTAMP '2000-01-03')
            AT TIME ZONE zone AT TIME ZONE 'UTC'
    END;

-- Bars as they are stored, or larger ones made of them.
CREATE OR REPLACE MACRO {db}.resample(
    symbol, timeframe, source := NULL, asset_type := NULL, zone := 'America/New_York', session := NULL
) AS TABLE
WITH chosen AS MATERIALIZED (
    FROM chosen_series(symbol, timeframe, source, asset_type)
),
larger AS (
    SELECT
        chosen.asset_symbol, chosen.n, chosen.unit, CAST(bar.ts AS TIMESTAMP) AS moment,
        bar.open, bar.high, bar.low, bar.close, bar.volume
    FROM bar
    JOIN chosen ON chosen.version_id = bar.version_id AND NOT (chosen.as_stored AND session IS NULL)
    WHERE session IS NULL
        OR CAST(bar.ts AT TIME ZONE 'UTC' AT TIME ZONE zone AS TIME) >= CAST(split_part(session, '-', 1) AS TIME)
        AND CAST(bar.ts AT TIME ZONE 'UTC' AT TIME ZONE zone AS TIME) < CAST(split_part(session, '-', 2) AS TIME)
)
SELECT chosen.asset_symbol, CAST(bar.ts AS TIMESTAMP) AS "timestamp", bar.open, bar.high, bar.low, bar.close, bar.volume
FROM bar
JOIN chosen ON chosen.version_id = bar.version_id AND chosen.as_stored AND session IS NULL
UNION ALL
SELECT
    asset_symbol,
    bar_start(moment, n, unit, zone, CAST(coalesce(split_part(session, '-', 1), '00:00') AS TIME)) AS "timestamp",
    arg_min(open, moment) AS open,
    max(high) AS high,
    min(low) AS low,
    arg_max(close, moment) AS close,
    sum(volume) AS volume
FROM larger
GROUP BY ALL;

-- Bars with their number in the series, from 0. A bar without a close counts as missing.
CREATE OR REPLACE MACRO {db}.numbered_bars(symbol, timeframe, source, asset_type) AS TABLE
SELECT *, row_number() OVER (PARTITION BY asset_symbol ORDER BY "timestamp") - 1 AS i
FROM resample(symbol, timeframe, source := source, asset_type := asset_type)
WHERE close IS NOT NULL AND isfinite(close);
