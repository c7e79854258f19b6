-- damage: labels that an asset has twice, or whose values were not set together.
SELECT printf('the label %s of %s (%s) has the value %s %d times', name, asset_symbol, asset_type, value, count(*))
FROM {db}.asset_label
GROUP BY asset_symbol, asset_type, exchange, name, value
HAVING count(*) > 1
UNION ALL
SELECT printf('the values of the label %s of %s (%s) have %d different times', name, asset_symbol, asset_type,
    count(DISTINCT labelled_at))
FROM {db}.asset_label
GROUP BY asset_symbol, asset_type, exchange, name
HAVING count(DISTINCT labelled_at) > 1
