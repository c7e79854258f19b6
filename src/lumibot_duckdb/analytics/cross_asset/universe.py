"""Many assets at a time: who is strongest, and how many rise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.computation.rolling import window_sum
from lumibot_duckdb.analytics.cross_asset.closes import Closes, read_closes
from lumibot_duckdb.analytics.cross_asset.groups import Groups, stacked
from lumibot_duckdb.analytics.cross_asset.selection import Selection, asset_list, checked_length
from lumibot_duckdb.analytics.frames import SYMBOL_COLUMN, TIME_COLUMN
from lumibot_duckdb.analytics.returns import price_return
from lumibot_duckdb.storage.api import AssetLabels, AssetLike, BarReader
from lumibot_duckdb.storage.bars.output import time_index

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-12


def ranking_table(
    storage: BarReader, symbols: Iterable[AssetLike], n: int, benchmark: AssetLike | None, selection: Selection
) -> pd.DataFrame:
    """Return each asset's change over its last n closes, and its rank."""
    import pandas as pd

    checked_length("n", n, least=1)
    assets = asset_list(symbols)
    wanted = selection.series(storage, assets)
    leading = [] if benchmark is None else [benchmark]
    series = selection.series(storage, [*leading, *assets])
    closes = read_closes(storage, series, selection, before=n)
    changed = np.column_stack([own_change(column, n) for column in closes.rows.T])[closes.first :]
    places = [closes.symbols.index(each.symbol) for each in wanted]
    members = changed[:, places]
    rank = pd.DataFrame(members).rank(axis=1, method="min", ascending=False).to_numpy()
    row, place = np.nonzero(np.isfinite(members))
    columns: dict[str, Any] = {
        TIME_COLUMN: time_index(closes.times[closes.first :][row], "us"),
        SYMBOL_COLUMN: np.array([each.symbol for each in wanted], object)[place],
        "change": members[row, place],
        "rank": rank[row, place].astype(np.int64),
        "of": np.isfinite(members).sum(axis=1)[row],
    }
    if benchmark is not None:
        kept = 1 + changed[:, :1]  # what is left of 1 in the benchmark: nothing to compare with if it fell below 0
        with np.errstate(all="ignore"):
            columns["relative"] = np.where(kept > 0, (1 + members) / kept - 1, np.nan)[row, place]
    return cast("pd.DataFrame", pd.DataFrame(columns))


def breadth_table(storage: BarReader, symbols: Iterable[AssetLike], n: int, selection: Selection) -> pd.DataFrame:
    """Return how many assets are above their average, and how many have risen and fallen."""
    checked_length("n", n, least=1)
    closes = read_closes(storage, selection.series(storage, asset_list(symbols)), selection, before=n)
    return _breadth(closes, n, range(len(closes.symbols)))


def breadth_by_label_table(
    storage: BarReader,
    labels: AssetLabels,
    symbols: Iterable[AssetLike],
    n: int,
    label: str,
    selection: Selection,
) -> pd.DataFrame:
    """Return the breadth of the assets with each value of a label."""
    checked_length("n", n, least=1)
    groups = Groups.of(storage, labels, label, symbols, selection)
    closes = read_closes(storage, groups.series, selection, before=n)
    return stacked(
        {value: _breadth(closes, n, places)[closes.with_any(places)] for value, places in groups.places.items()}
    )


def _breadth(closes: Closes, n: int, places: Sequence[int]) -> pd.DataFrame:
    """Return the breadth of the assets in some columns."""
    import pandas as pd

    rows = closes.rows[:, places]
    average = np.column_stack([_average(column, n) for column in rows.T])
    change = np.column_stack([_difference(column) for column in rows.T])
    members = np.isfinite(average).sum(axis=1)
    # The average of equal prices may differ from them by rounding. Comparisons with NaN are false.
    above = (rows - average > _ROUNDING * np.abs(average)).sum(axis=1)
    with np.errstate(all="ignore"):
        share = np.where(members > 0, above / members, np.nan)
    counts = {
        "members": members,
        "above": above,
        "share_above": share,
        "advancers": (change > 0).sum(axis=1),
        "decliners": (change < 0).sum(axis=1),
        "unchanged": (change == 0).sum(axis=1),
    }
    table = {name: values[closes.first :] for name, values in counts.items()}
    return cast("pd.DataFrame", pd.DataFrame(table, index=closes.index()))


def own_change(column: FloatArray, n: int) -> FloatArray:
    """Return the return over the last n values that exist."""
    found = np.full(len(column), np.nan)
    used = np.flatnonzero(np.isfinite(column))
    found[used] = price_return(column[used], n)
    return found


def _difference(column: FloatArray) -> FloatArray:
    found = np.full(len(column), np.nan)
    used = np.flatnonzero(np.isfinite(column))
    found[used[1:]] = np.diff(column[used])
    return found


def _average(column: FloatArray, n: int) -> FloatArray:
    found = np.full(len(column), np.nan)
    used = np.flatnonzero(np.isfinite(column))
    found[used] = window_sum(column[used], n) / n
    return found
