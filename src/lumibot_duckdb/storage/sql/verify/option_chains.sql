-- damage: an option chain that is there twice, lacks strikes, or has others than its outline says.
SELECT printf('the option chain of %s (%s) from %s as of %s is there %d times', asset_symbol, asset_type, source,
    CAST(as_of AS VARCHAR), count(*))
FROM {db}.option_chain
GROUP BY asset_symbol, asset_type, exchange, source, as_of, days_ahead
HAVING count(*) > 1
UNION ALL
SELECT printf('option chain %d is there %d times', chain_id, count(*))
FROM {db}.option_chain
GROUP BY chain_id
HAVING count(*) > 1
UNION ALL
SELECT printf('option chain %d should have the strikes of %d expirations and has those of %d', chain_id, outlined.lists,
    coalesce(present.lists, 0))
FROM (
    SELECT chain_id, CAST(coalesce(list_sum(json_array_length(outline, '$.Chains.*')), 0) AS BIGINT) AS lists
    FROM {db}.option_chain
) AS outlined
LEFT JOIN (
    SELECT chain_id, count(*) AS lists FROM {db}.option_chain_strikes GROUP BY chain_id
) AS present USING (chain_id)
WHERE outlined.lists <> coalesce(present.lists, 0)
UNION ALL
SELECT printf('%d lists of strikes belong to option chain %d, which does not exist', count(*), chain_id)
FROM {db}.option_chain_strikes
WHERE chain_id NOT IN (SELECT chain_id FROM {db}.option_chain)
GROUP BY chain_id
UNION ALL
SELECT printf('the strikes of option chain %d, %s of %s, are no list', chain_id, "right", expiration)
FROM {db}.option_chain_strikes
WHERE left(strikes, 1) <> '[' OR right(strikes, 1) <> ']'
