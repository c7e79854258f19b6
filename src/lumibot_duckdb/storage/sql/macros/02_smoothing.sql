-- Recursive smoothing without recursion: y = keep * (y of the bar before) + (1 - keep) * value.
--
-- `p` numbers the bars of a series that have a value, from 0. y begins at p = n - 1 with the mean of the first n values.
-- Within a block of bars, y is keep^j times the running sum of value / keep^j, where j is the place in the block, and a
-- block is so short that keep^-j stays below 1e150. What the block before adds is keep^j * keep^length times its sum, and
-- blocks before that one add less than rounding does. So two sums over a window are enough for any number of bars, and
-- the result differs from the loop's by rounding alone.

CREATE OR REPLACE MACRO {db}.block_length(n) AS 150 * n - 149;

-- What a value adds to the sum of its block.
CREATE OR REPLACE MACRO {db}.weighted(value, keep, n, p) AS
    value * CASE WHEN p >= n THEN (1 - keep) * pow(keep, -(p % block_length(n))) WHEN p >= 0 THEN pow(keep, 1 - n) / n END;

-- y. `per` is what the bars are numbered within.
CREATE OR REPLACE MACRO {db}.smoothed(value, keep, n, p, per) AS
    CASE WHEN p >= n - 1 THEN pow(keep, p % block_length(n)) * (
        sum(weighted(value, keep, n, p)) OVER (
            PARTITION BY per ORDER BY p ROWS BETWEEN abs(p) % block_length(n) PRECEDING AND CURRENT ROW
        )
        + pow(keep, block_length(n)) * coalesce(sum(weighted(value, keep, n, p)) OVER (
            PARTITION BY per ORDER BY p
            ROWS BETWEEN abs(p) % block_length(n) + block_length(n) PRECEDING AND abs(p) % block_length(n) + 1 PRECEDING
        ), 0)
    ) END;

CREATE OR REPLACE MACRO {db}.exponential_average(value, n, p, per) AS smoothed(value, 1 - 2 / (n + 1), n, p, per);

CREATE OR REPLACE MACRO {db}.wilder_average(value, n, p, per) AS smoothed(value, 1 - 1 / n, n, p, per);
