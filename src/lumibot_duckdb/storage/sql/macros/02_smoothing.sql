-- Recursive smoothing without recursion: y[i] = keep * y[i - 1] + added[i], for i > first, and y[first] = added[first].
--
-- Within a block of bars, y is keep^j times the running sum of added / keep^j, and a block is so short that keep^-j stays
-- below 1e260. Then y goes on from the last value of the block before. So two window functions are enough for any
-- number of bars, and the result differs from the loop's by rounding alone.

-- The length of a block: one bar if nothing is kept.
CREATE OR REPLACE MACRO {db}.block_length(keep) AS
    greatest(1, CAST(floor(600 / -ln(least(greatest(keep, 1e-300), 1 - 1e-12))) AS BIGINT));

-- The part of y that comes from the bar's own block. `i` is the number of the bar in its series, `per` what it is
-- numbered within, and `added` is NULL before `first`.
CREATE OR REPLACE MACRO {db}.own_block(added, keep, i, first, per) AS
    pow(keep, (i - first) % block_length(keep)) * sum(added * pow(keep, -((i - first) % block_length(keep)))) OVER (
        PARTITION BY per, i < first, (i - first) // block_length(keep) ORDER BY i ROWS UNBOUNDED PRECEDING
    );

-- y, from the parts of `own_block`.
CREATE OR REPLACE MACRO {db}.with_block_before(part, keep, i, first, per) AS
    CASE
        WHEN i < first THEN NULL
        WHEN i - first < block_length(keep) THEN part
        ELSE part + pow(keep, (i - first) % block_length(keep) + 1)
            * lag(part, (i - first) % block_length(keep) + 1) OVER (PARTITION BY per ORDER BY i)
    END;

-- What an average of `n` values that begins with their mean adds: the mean at `first`, and `share` of each later value.
-- `value` is NULL for the bars before the first of these `n`.
CREATE OR REPLACE MACRO {db}.added_value(value, n, share, i, first, per) AS
    CASE
        WHEN i < first THEN NULL
        WHEN i = first THEN avg(value) OVER (PARTITION BY per ORDER BY i ROWS BETWEEN n - 1 PRECEDING AND CURRENT ROW)
        ELSE share * value
    END;
