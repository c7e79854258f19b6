"""Compares what a macro returns with the values that are expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pandas as pd


def call(
    client: duckdb.DuckDBPyConnection, name: str, symbol: str, timeframe: str, parameters: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the rows of an indicator, in order of time."""
    given = "".join(f", {key} := {value!r}" for key, value in (parameters or {}).items())
    query = f"FROM {name}('{symbol}', timeframe := '{timeframe}'{given}) ORDER BY asset_symbol, \"timestamp\""
    return client.execute(query).df()


def assert_equal(found: pd.DataFrame, bars: pd.DataFrame, expected: Mapping[str, Any], tolerance: float = 1e-9) -> None:
    """Fail unless there is a row for each bar with the expected outputs, NULL where they are NaN.

    The tolerance is relative, to values and, because oscillators pass zero, to the largest of them.
    """
    assert list(found.columns) == ["asset_symbol", "timestamp", "close", *expected]
    assert found.close.tolist() == bars.close.tolist()
    for name, values in expected.items():
        actual, wanted = found[name].to_numpy(np.float64), np.asarray(values, np.float64)
        assert np.isnan(actual).tolist() == np.isnan(wanted).tolist(), name
        if not np.isnan(wanted).all():
            scale = np.nanmax(np.abs(wanted))
            np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name)
