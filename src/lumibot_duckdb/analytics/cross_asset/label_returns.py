"""The returns of groups of assets: of each sector, or of the members of an index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from lumibot_duckdb.analytics.bars import FloatArray
from lumibot_duckdb.analytics.cross_asset.closes import Closes, read_closes
from lumibot_duckdb.analytics.cross_asset.groups import Groups, stacked
from lumibot_duckdb.analytics.cross_asset.selection import Selection
from lumibot_duckdb.analytics.cross_asset.universe import own_change
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.storage.api import AssetLabels, AssetLike, BarReader

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = ("equal", "dollar_volume")


def label_returns_table(
    storage: BarReader,
    labels: AssetLabels,
    label: str,
    symbols: AssetLike | Iterable[AssetLike] | None,
    weights: str,
    selection: Selection,
) -> pd.DataFrame:
    """Return the returns of the assets with each value of a label, at each time."""
    if weights not in WEIGHTS:
        raise AnalysisError(f"{weights!r} are no weights: write one of {', '.join(WEIGHTS)}")
    if selection.join == "asof":
        raise AnalysisError(
            "returns by label are of each asset's own closes: write join='outer' or 'inner', not 'asof'"
        )
    groups = Groups.of(storage, labels, label, symbols, selection)
    closes = read_closes(storage, groups.series, selection, before=1, with_volumes=True)
    change = np.column_stack([own_change(column, 1) for column in closes.rows.T])
    weight = np.ones_like(change) if weights == "equal" else _weights_before(closes)
    return stacked(
        {
            value: _returns(closes, change, weight, places)[closes.with_any(places)]
            for value, places in groups.places.items()
        }
    )


def _returns(closes: Closes, change: FloatArray, weight: FloatArray, places: Sequence[int]) -> pd.DataFrame:
    """Return the returns of the assets in some columns, for each time of the range."""
    import pandas as pd

    assert closes.volumes is not None
    shown = (slice(closes.first, None), places)
    change, weight, volume = change[shown], weight[shown], closes.volumes[shown]
    weight = np.where(np.isfinite(change) & (weight > 0), weight, 0.0)
    total = weight.sum(axis=1)
    with np.errstate(all="ignore"):
        mean = np.where(total > 0, np.where(weight > 0, change * weight, 0.0).sum(axis=1) / total, np.nan)
    columns = {
        "members": np.isfinite(change).sum(axis=1),
        "mean_return": mean,
        "median_return": pd.DataFrame(change).median(axis=1).to_numpy(),
        "level": _level(mean),
        "advancers": (change > 0).sum(axis=1),
        "decliners": (change < 0).sum(axis=1),
        "unchanged": (change == 0).sum(axis=1),
        "volume": pd.DataFrame(volume).sum(axis=1, min_count=1).to_numpy(),
    }
    return cast("pd.DataFrame", pd.DataFrame(columns, index=closes.index()))


def _level(mean: FloatArray) -> FloatArray:
    """Return what 1 becomes; NaN once more than all is lost, since a gain of a debt would be a larger debt."""
    kept = 1 + np.where(np.isfinite(mean), mean, 0.0)
    return np.where(np.minimum.accumulate(kept) >= 0, np.cumprod(kept), np.nan)


def _weights_before(closes: Closes) -> FloatArray:
    """Return what was traded in each asset's own bar before, in its currency: close times volume."""
    assert closes.volumes is not None
    traded = closes.rows * closes.volumes
    found = np.full(traded.shape, np.nan)
    for place, column in enumerate(closes.rows.T):
        used = np.flatnonzero(np.isfinite(column))
        found[used[1:], place] = traded[used[:-1], place]
    return found
