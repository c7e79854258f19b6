"""Numbers are rounded as a DECIMAL column of DuckDB returns them."""

from __future__ import annotations

import duckdb
import numpy as np

from lumibot_duckdb.sources.ccxt.price_rounding import rounded


def test_numbers_are_those_of_a_decimal_column() -> None:
    rng = np.random.default_rng(3)
    columns = {
        "open": np.array([0.0005, 0.0015, -0.0005, -0.0, np.nan, 1e13, 1e300, -np.inf, 2.0004999]),
        "volume": np.array([3, -1, 2**53 + 1, 10**14, 2**62, 0, 1, 2, 3]),
        "close": rng.normal(100, 50, 9),
    }
    found = rounded(columns)
    assert list(found) == list(columns)
    for name, values in columns.items():
        for value, number in zip(values.tolist(), found[name].tolist(), strict=True):
            kind = "BIGINT" if name == "volume" else "DOUBLE"
            with duckdb.connect() as connection:
                ((expected,),) = connection.execute(
                    f"SELECT try_cast(?::{kind} AS DECIMAL)::DOUBLE", [value]
                ).fetchall()
            expected = value if expected is None else expected
            assert np.array_equal(np.float64(number), np.float64(expected), equal_nan=True), (name, value)
