-- How often bars, and rows refused for their prices, of a series are so many seconds apart. From Friday to Monday is one day, since markets are closed.
SELECT gap, count(*)
FROM (
    SELECT CASE WHEN gap BETWEEN 255600 AND 262800 AND weekday = 5 THEN gap - 172800 ELSE gap END AS gap
    FROM (
        SELECT
            lead(ts) OVER (PARTITION BY series ORDER BY ts) - ts AS gap,
            isodow(make_timestamp((ts + 43200) * 1000000)) AS weekday
        FROM (SELECT series, ts FROM bar UNION SELECT series, ts FROM refused_time)
    )
    WHERE gap IS NOT NULL
)
GROUP BY gap
