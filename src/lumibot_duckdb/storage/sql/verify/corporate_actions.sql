-- damage: corporate actions that are there twice, or that no check of their source brought, or two last checks.
SELECT printf('the %s of %s (%s) from %s on %s is there %d times', kind, asset_symbol, asset_type, source,
    CAST(ex_date AS VARCHAR), count(*))
FROM {db}.corporate_action
GROUP BY asset_symbol, asset_type, exchange, source, kind, ex_date, split_from, split_to, amount
HAVING count(*) > 1
UNION ALL
SELECT printf('%d actions (%s) of %s (%s) came with no check of %s', count(*), kind, asset_symbol, asset_type, source)
FROM {db}.corporate_action
ANTI JOIN {db}.corporate_action_check USING (asset_symbol, asset_type, exchange, source, kind)
GROUP BY asset_symbol, asset_type, exchange, source, kind
UNION ALL
SELECT printf('the last check (%s) of %s (%s) from %s is there %d times', kind, asset_symbol, asset_type, source, count(*))
FROM {db}.corporate_action_check
GROUP BY asset_symbol, asset_type, exchange, source, kind
HAVING count(*) > 1
