SELECT gap
FROM (SELECT ts - lag(ts) OVER (PARTITION BY series ORDER BY ts) AS gap FROM bar)
WHERE gap IS NOT NULL
GROUP BY gap
ORDER BY count(*) DESC, gap
LIMIT 1
