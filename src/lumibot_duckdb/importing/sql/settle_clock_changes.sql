-- Where the clocks went back, an hour of local times came twice; `ts` is the first of the two, `later` the way to the
-- second. In the order of the file, the bars after a step backwards in time are those of the second hour. Without such a
-- step, all are taken for the first; with several steps the hours cannot be distinguished, and the bars are refused.
CREATE TEMP TABLE twice AS
WITH direction AS (
    SELECT series, CASE WHEN arg_min(ts, row) <= arg_max(ts, row) THEN 1 ELSE -1 END AS forward
    FROM bar
    GROUP BY series
),
stepped AS (
    SELECT
        row, series, later, place, change,
        coalesce(ts < lag(ts) OVER (PARTITION BY series, change ORDER BY place), false)::INTEGER AS steps_back
    FROM (
        SELECT row, series, ts, later, row * forward AS place, ts // later AS change
        FROM bar JOIN direction USING (series)
        WHERE later <> 0
    )
)
SELECT
    row, later,
    sum(steps_back) OVER (PARTITION BY series, change ORDER BY place) AS steps_before,
    sum(steps_back) OVER (PARTITION BY series, change) AS steps
FROM stepped;

INSERT INTO refused SELECT row, getvariable('unclear_time') FROM twice WHERE steps > 1;

DELETE FROM bar USING twice WHERE bar.row = twice.row AND twice.steps > 1;

UPDATE bar SET ts = ts + twice.later FROM twice WHERE bar.row = twice.row AND twice.steps_before = 1;
