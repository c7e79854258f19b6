-- How many bars of each version of another store are missing in the counterpart of the version here, or different there.
SELECT
    pair.ours,
    count(*) FILTER (here.ts IS NULL),
    count(*) FILTER (here.hash <> stored.hash)
FROM lumibot_duckdb_stored AS stored
JOIN lumibot_duckdb_pair AS pair ON pair.ours = stored.version_id
LEFT JOIN (
    SELECT version_id, ts, {hash} AS hash
    FROM {db}.bar
    WHERE {condition} AND version_id IN (SELECT theirs FROM lumibot_duckdb_pair)
) AS here ON here.version_id = pair.theirs AND here.ts = stored.ts
GROUP BY ALL
