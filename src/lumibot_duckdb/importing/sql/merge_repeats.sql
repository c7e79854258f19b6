-- Bars with the same time: identical ones become one; others are all refused, since none is known to be the right one.
CREATE TEMP TABLE repeated AS
SELECT series, ts, min(row) AS first_row FROM bar GROUP BY series, ts HAVING count(*) > 1;

CREATE TEMP TABLE conflicting AS
SELECT series, ts
FROM (SELECT DISTINCT * EXCLUDE (row, later) FROM bar SEMI JOIN repeated USING (series, ts))
GROUP BY series, ts
HAVING count(*) > 1;

INSERT INTO refused
SELECT row, getvariable('conflict') FROM bar SEMI JOIN conflicting USING (series, ts);

DELETE FROM bar USING conflicting WHERE bar.series = conflicting.series AND bar.ts = conflicting.ts;

DELETE FROM bar USING repeated
WHERE bar.series = repeated.series AND bar.ts = repeated.ts AND bar.row <> repeated.first_row;
