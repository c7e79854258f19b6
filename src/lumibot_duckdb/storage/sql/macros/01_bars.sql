-- Bars of any symbol and timeframe, on which all indicators are computed. docs/indicators.md documents the macros.
--
-- Names inside macros are unqualified: they work after `USE` of the attached store, or if it was opened directly.
-- A store's catalog is read each time that it is opened, so short definitions matter.

-- A symbol, or a list of symbols, as a list; none is an error.
CREATE OR REPLACE MACRO {db}.symbol_list(symbols) AS
    CASE
        WHEN coalesce(to_json(symbols), '[]') = '[]' THEN error('no symbol is given: write one, or a list of symbols')
        WHEN json_type(to_json(symbols)) = 'ARRAY' THEN CAST(to_json(symbols) AS VARCHAR[])
        ELSE [to_json(symbols) ->> '$']
    END;

-- A timeframe in any of its usual spellings as an interval; NULL if it is none. "m" is a minute, and "M" or "mo" a
-- month; "5M" is none, because it may be either.
CREATE OR REPLACE MACRO {db}.bar_length(spelling) AS
    TRY_CAST(CASE
        WHEN regexp_full_match(spelling, '\s*1?\s*M\s*') THEN '1 month'
        WHEN regexp_full_match(spelling, '\s*\d{0,6}\s*-?\s*([a-zA-Z]*[a-zA-LN-Z]|m)\s*')
        THEN concat(
            coalesce(nullif(regexp_extract(spelling, '\d+'), ''), '1'), ' ',
            coalesce(
                MAP {
                    't': 'minute', 'daily': 'day', 'wk': 'week', 'wks': 'week', 'weekly': 'week',
                    'mo': 'month', 'mos': 'month', 'monthly': 'month'
                }[lower(regexp_extract(spelling, '[a-zA-Z]+'))],
                regexp_extract(spelling, '[a-zA-Z]+')
            )
        )
    END AS INTERVAL);

-- What bars of a length follow: the clock, or the calendar's days or months.
CREATE OR REPLACE MACRO {db}.length_unit(length) AS
    CASE
        WHEN date_part('month', length) + date_part('year', length) > 0 THEN 'month'
        WHEN date_part('day', length) > 0 THEN 'day'
        ELSE 'time'
    END;

-- When a session ('09:30-16:00') opens (1) or closes (2): NULL if that is not a time.
CREATE OR REPLACE MACRO {db}.session_time(session, place) AS
    TRY_CAST(trim(split_part(session, '-', place)) AS TIME);

-- The same, as the distance from midnight.
CREATE OR REPLACE MACRO {db}.session_offset(session, place) AS
    CAST(CAST(session_time(session, place) AS VARCHAR) AS INTERVAL);

-- Whether bars that are counted from midnight are cut neither by the opening nor by the close.
CREATE OR REPLACE MACRO {db}.fits_session(length, session) AS
    session IS NULL
    OR epoch(session_offset(session, 1)) % epoch(length) = 0 AND epoch(session_offset(session, 2)) % epoch(length) = 0;

-- One series for each symbol: bars of the timeframe, or else the largest bars of which those are made. A day does not
-- tell what was in a session. Several series, or none, are an error.
CREATE OR REPLACE MACRO {db}.chosen_series(symbols, spelling, source_name, type_name, session) AS TABLE
WITH wanted AS (
    SELECT DISTINCT unnest(symbol_list(symbols)) AS asset_symbol, bar_length(spelling) AS wanted
),
stored AS (
    SELECT
        wanted.*, asset.asset_type, series.timeframe, series.current_version AS version_id,
        concat_ws(':', series.source, nullif(series.adjustment, '')) AS source,
        TRY_CAST(regexp_replace(series.timeframe, '^([a-z])', '1 \1') AS INTERVAL) AS length
    FROM wanted
    JOIN asset ON asset.name = asset_symbol
    JOIN series ON series.asset_id = asset.asset_id
),
measured AS (
    SELECT *, length_unit(length) AS unit, length_unit(wanted) AS wanted_unit
    FROM stored
    WHERE (source_name IS NULL OR source_name IN (source, split_part(source, ':', 1)))
        AND (type_name IS NULL OR asset_type = type_name)
        AND (session IS NULL OR length < INTERVAL '1 day')
),
largest AS (
    SELECT *, length = wanted AND unit = wanted_unit AS as_stored
    FROM measured
    WHERE length = wanted AND unit = wanted_unit
        OR length <= wanted AND NOT (unit = 'day' AND wanted_unit = 'time')
        AND CASE wanted_unit WHEN 'month' THEN 86400 ELSE epoch(wanted) END % epoch(length) = 0
    QUALIFY rank() OVER (
        PARTITION BY asset_symbol ORDER BY fits_session(length, session) DESC, length DESC, as_stored DESC
    ) = 1
)
SELECT
    asset_symbol, any_value(version_id) AS version_id,
    any_value(wanted.wanted) AS length, any_value(wanted_unit) AS unit, any_value(largest.unit) AS stored_unit,
    -- Here, because whoever reads bars asks for this: the planner skips columns that nobody needs.
    CASE
        WHEN any_value(wanted.wanted) IS NULL
        THEN error(format(
            '''{}'' is not a timeframe: write, for example, ''minute'', ''15 minutes'' or ''day''',
            coalesce(spelling, 'NULL')
        ))
        WHEN session IS NOT NULL AND coalesce(session_time(session, 1) >= session_time(session, 2), true)
        THEN error(format(
            '''{}'' is not a session: write when it opens and closes on the same day in `zone`, such as ''09:30-16:00''',
            session
        ))
        WHEN NOT coalesce(any_value(as_stored), false) AND length_unit(any_value(wanted.wanted)) = 'time'
            AND any_value(wanted.wanted) > INTERVAL '1 day'
        THEN error(format('bars of ''{}'' cannot be made, since hours begin anew each day: write days', spelling))
        WHEN count(version_id) = 0
        THEN error(format('the store has no bars of {} of which bars of ''{}'' can be made{}{}',
            coalesce(asset_symbol, 'NULL'), spelling, coalesce(' in the source ' || source_name, ''),
            CASE WHEN session IS NULL THEN '' ELSE ' for a session, which days and longer ones do not tell' END))
        WHEN count(version_id) > 1
        THEN error(format('{} has several series with bars of ''{}'': {}. Choose one with source := or asset_type :=',
            asset_symbol, any_value(timeframe), string_agg(source || ' (' || asset_type || ')', ', ' ORDER BY source)))
        ELSE any_value(as_stored) AND session IS NULL
    END AS as_stored
FROM wanted
LEFT JOIN largest USING (asset_symbol)
GROUP BY asset_symbol;

-- The midnight in `zone` at which a moment's day began, as local time.
CREATE OR REPLACE MACRO {db}.day_start(moment, zone) AS
    date_trunc('day', moment AT TIME ZONE 'UTC' AT TIME ZONE zone);

-- Whether a stored bar is a day of UTC, wherever its beginning is in `zone`: the daily bars of crypto exchanges are.
CREATE OR REPLACE MACRO {db}.is_utc_day(moment, stored_unit) AS
    stored_unit = 'day' AND moment = date_trunc('day', moment);

-- The start of the bar that a stored one belongs to: in UTC for the bars of a day, which begin at midnight in `zone`, or
-- when the session ('09:30-16:00') opens; a date for longer ones. Weeks begin on Monday.
CREATE OR REPLACE MACRO {db}.bar_start(moment, length, unit, stored_unit, zone, session) AS
    CASE unit
        WHEN 'time' THEN time_bucket(
            length, moment,
            (day_start(moment, zone) + coalesce(session_offset(session, 1), INTERVAL '0 hours'))
                AT TIME ZONE zone AT TIME ZONE 'UTC'
        )
        ELSE time_bucket(
            length,
            CASE WHEN is_utc_day(moment, stored_unit) THEN moment ELSE day_start(moment, zone) END,
            CASE unit WHEN 'day' THEN TIMESTAMP '2000-01-03' ELSE TIMESTAMP '2000-01-01' END
        )
    END;

-- Bars as they are stored, or larger ones made of them. Days of UTC are made into bars that begin at its midnight.
CREATE OR REPLACE MACRO {db}.resample(
    symbol, timeframe, source := NULL, asset_type := NULL, zone := 'America/New_York', session := NULL
) AS TABLE
WITH chosen AS MATERIALIZED (
    FROM chosen_series(symbol, timeframe, source, asset_type, session)
),
smaller AS (
    SELECT
        bar_start(CAST(bar.ts AS TIMESTAMP), length, unit, stored_unit, zone, session) AS start, asset_symbol, unit,
        stored_unit, bar.*
    FROM bar
    JOIN chosen ON chosen.version_id = bar.version_id AND NOT as_stored
    WHERE session IS NULL
        OR CAST(bar.ts AT TIME ZONE 'UTC' AT TIME ZONE zone AS TIME) >= session_time(session, 1)
        AND CAST(bar.ts AT TIME ZONE 'UTC' AT TIME ZONE zone AS TIME) < session_time(session, 2)
)
SELECT asset_symbol, CAST(bar.ts AS TIMESTAMP) AS "timestamp", bar.open, bar.high, bar.low, bar.close, bar.volume
FROM bar
JOIN chosen ON chosen.version_id = bar.version_id AND as_stored
UNION ALL
SELECT
    asset_symbol,
    CASE
        WHEN unit = 'time' OR is_utc_day(CAST(min(ts) AS TIMESTAMP), stored_unit) THEN start
        ELSE start AT TIME ZONE zone AT TIME ZONE 'UTC'
    END,
    arg_min(open, ts), max(high), min(low), arg_max(close, ts), sum(volume)
FROM smaller
GROUP BY asset_symbol, start, unit, stored_unit;

-- True; or an error, unless the lengths are whole numbers of at least `shortest`.
CREATE OR REPLACE MACRO {db}.checked_lengths(lengths, shortest) AS
    CASE
        WHEN list_bool_and([
            coalesce(each BETWEEN shortest AND 100000 AND each = floor(each), false) FOR each IN lengths
        ])
        THEN true
        ELSE error(format('a number of bars must be a whole number from {} to 100000, not {}', shortest, lengths))
    END;

-- True; or an error, unless `k` is a number that something may be multiplied by.
CREATE OR REPLACE MACRO {db}.checked_factor(k) AS
    CASE
        WHEN coalesce(k BETWEEN 0.0001 AND 1000, false) THEN true
        ELSE error(format('k must be a number from 0.0001 to 1000, not {}', coalesce(CAST(k AS VARCHAR), 'NULL')))
    END;

-- Bars with their number in the series, from 0. A bar without a close counts as missing. An open, high or low that is
-- missing counts as the close.
CREATE OR REPLACE MACRO {db}.numbered_bars(symbol, timeframe, source, asset_type, lengths, shortest) AS TABLE
SELECT
    asset_symbol, "timestamp",
    CASE WHEN isfinite(open) THEN open ELSE close END AS open,
    CASE WHEN isfinite(high) THEN high ELSE close END AS high,
    CASE WHEN isfinite(low) THEN low ELSE close END AS low,
    close,
    CASE WHEN isfinite(volume) THEN volume END AS volume,
    row_number() OVER (PARTITION BY asset_symbol ORDER BY "timestamp") - 1 AS i
FROM resample(symbol, timeframe, source := source, asset_type := asset_type)
WHERE isfinite(close) AND checked_lengths(lengths, shortest);

-- Bars with their true range, which the first has not.
CREATE OR REPLACE MACRO {db}.ranged_bars(symbol, timeframe, source, asset_type, lengths, shortest) AS TABLE
SELECT
    *,
    greatest(high, lag(close) OVER (PARTITION BY asset_symbol ORDER BY i))
        - least(low, lag(close) OVER (PARTITION BY asset_symbol ORDER BY i))
        + CASE WHEN i = 0 THEN NULL ELSE 0 END AS true_range
FROM numbered_bars(symbol, timeframe, source, asset_type, lengths, shortest);
