"""Correlations, covariances and betas: of all rows, or rolling; and correlations at a lag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.cross_asset import moments
from lumibot_duckdb.analytics.cross_asset.changes import changes, check_method
from lumibot_duckdb.analytics.cross_asset.closes import Closes, read_closes
from lumibot_duckdb.analytics.cross_asset.selection import Selection, asset_list, checked_length
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.analytics.frames import SYMBOL_COLUMN, TIME_COLUMN
from lumibot_duckdb.storage.api import AssetLike, BarReader
from lumibot_duckdb.storage.bars.output import time_index
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    import pandas as pd

OTHER_COLUMN = "other_symbol"


def pair_table(
    storage: BarReader,
    symbols: Iterable[AssetLike],
    selection: Selection,
    method: str,
    window: int | None,
    measure: str,
) -> pd.DataFrame:
    """Return correlations or covariances of all pairs."""
    import pandas as pd

    check_method(method)
    series = selection.series(storage, asset_list(symbols, least=2))
    if len(series) < 2:
        raise AnalysisError(f"name at least 2 different assets, not only {series[0].symbol}")
    n = 1 if window is None else checked_length("window", window, least=2)
    closes = read_closes(storage, series, selection, before=n)
    table = changes(closes.rows, method)
    if window is None:
        found = moments.pairwise(table[closes.first :])[measure == "correlation"]
        names = pd.Index(closes.symbols, name=SYMBOL_COLUMN)
        return cast(
            "pd.DataFrame", pd.DataFrame(found, index=names, columns=pd.Index(closes.symbols, name=OTHER_COLUMN))
        )
    parts = []
    for i, j in combinations(range(len(closes.symbols)), 2):
        times, found_moments = _rolling(closes, table[:, i], table[:, j], n)
        parts.append((closes.symbols[i], closes.symbols[j], times, {measure: getattr(found_moments, measure)}))
    return _long([SYMBOL_COLUMN, OTHER_COLUMN], parts, [measure])


def beta_table(
    storage: BarReader,
    symbols: AssetLike | Iterable[AssetLike],
    benchmark: AssetLike,
    selection: Selection,
    method: str,
    window: int | None,
) -> pd.DataFrame:
    """Return beta, alpha and correlation of each asset against the benchmark."""
    import pandas as pd

    check_method(method)
    wanted = selection.series(storage, asset_list(symbols))
    series = selection.series(storage, [benchmark, *asset_list(symbols)])
    n = 1 if window is None else checked_length("window", window, least=2)
    closes = read_closes(storage, series, selection, before=n)
    table = changes(closes.rows, method)
    places = [closes.symbols.index(each.symbol) for each in wanted]
    outputs = ["beta", "alpha", "correlation"]
    if window is not None:
        parts = []
        for place in places:
            times, found = _rolling(closes, table[:, 0], table[:, place], n)
            parts.append((closes.symbols[place], times, {name: getattr(found, name) for name in outputs}))
        return _long([SYMBOL_COLUMN], parts, outputs)
    rows = []
    for place in places:
        x, y = table[closes.first :, 0], table[closes.first :, place]
        used = moments.both(x, y)
        found = moments.moments(x[used], y[used])
        rows.append([*(getattr(found, name).item() for name in outputs), len(used)])
    index = pd.Index([closes.symbols[place] for place in places], name=SYMBOL_COLUMN)
    return cast("pd.DataFrame", pd.DataFrame(rows, index=index, columns=[*outputs, "bars"]))


def lag_table(
    storage: BarReader, first: AssetLike, second: AssetLike, lags: int, selection: Selection, method: str
) -> pd.DataFrame:
    """Return the correlation of one asset with another one that is some bars later."""
    import pandas as pd

    check_method(method)
    checked_length("lags", lags, least=1)
    closes = read_closes(storage, two_series(storage, first, second, selection), selection, before=1)
    table = changes(closes.rows, method)[closes.first :]
    if selection.join == "outer":
        table = table[np.isfinite(table).all(axis=1)]
    rows = []
    for lag in range(-lags, lags + 1):
        x, y = _shifted(table[:, 0], table[:, 1], lag)
        used = moments.both(x, y)
        rows.append((moments.moments(x[used], y[used]).correlation.item(), len(used)))
    return cast(
        "pd.DataFrame",
        pd.DataFrame(rows, index=pd.RangeIndex(-lags, lags + 1, name="lag"), columns=["correlation", "bars"]),
    )


def two_series(storage: BarReader, first: AssetLike, second: AssetLike, selection: Selection) -> Any:
    """Return the series of two assets; raise `AnalysisError` if they are the same one."""
    series = selection.series(storage, [first, second])
    if len(series) < 2:
        raise AnalysisError(f"name two different assets, not {series[0].symbol} twice")
    return series


def _shifted(x: FloatArray, y: FloatArray, lag: int) -> tuple[FloatArray, FloatArray]:
    """Return x, and what y is `lag` rows later."""
    length = max(0, len(x) - abs(lag))
    return x[max(0, -lag) :][:length], y[max(0, lag) :][:length]


def _rolling(closes: Closes, x: FloatArray, y: FloatArray, n: int) -> tuple[Int64Array, moments.Moments]:
    """Return the moments of the last n rows in which both have values, and the times of these rows in the range."""
    used = moments.both(x, y)
    found = moments.rolling(x[used], y[used], n)
    ends = used[n - 1 :]
    shown = slice(int(ends.searchsorted(closes.first)), None)
    return closes.times[ends[shown]], moments.Moments(
        *(getattr(found, name)[shown] for name in moments.Moments.__dataclass_fields__)
    )


def _long(names: Sequence[str], parts: Sequence[Any], outputs: Sequence[str]) -> pd.DataFrame:
    """Return the rows of all parts under one another: each has its names, times, and columns."""
    import pandas as pd

    lengths = [len(part[-2]) for part in parts]
    columns: dict[str, Any] = {
        name: np.repeat(np.array([part[place] for part in parts], object), lengths) for place, name in enumerate(names)
    }
    columns[TIME_COLUMN] = time_index(np.concatenate([part[-2] for part in parts]), "us")
    columns |= {name: np.concatenate([part[-1][name] for part in parts]) for name in outputs}
    return cast("pd.DataFrame", pd.DataFrame(columns))
