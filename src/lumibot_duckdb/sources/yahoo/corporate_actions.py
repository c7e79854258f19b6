"""Dividends and splits in Yahoo's daily bars, and the rescaling of stored intraday bars after a split."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, DataStorageInterface, EpochSeconds
from lumibot_duckdb.storage.times import bar_starts

_COLUMNS = ("dividend", "stock_splits", "capital_gains")
_IN_CURRENCY = ("open", "high", "low", "close", "adj_close", "dividend", "capital_gains")


class YahooActions:
    """The corporate actions of an asset.

    Parameters:
        storage: the store.
        asset: the asset.
        source: the source's name in the store.
        day_of: returns the exchange's day of a bar start.
    """

    def __init__(
        self, storage: DataStorageInterface, asset: AssetKey, source: str, day_of: Callable[[EpochSeconds], date]
    ) -> None:
        self._storage = storage
        self._asset = asset
        self._source = source
        self._day_of = day_of

    def are_new_in(self, bars: pd.DataFrame) -> bool:
        """Return whether daily bars have an action that is not stored."""
        return any(actions - self._stored(kind) for kind, actions in actions_in(bars, self._day_of).items() if actions)

    def store(self, bars: pd.DataFrame, *, replace: bool = False) -> None:
        """Store the actions of daily bars; with `replace`, in place of those that are stored."""
        for kind, actions in actions_in(bars, self._day_of).items():
            known = self._storage.corporate_actions(self._asset, self._source, kind)
            before = set() if known is None else set(known.actions)
            after = actions if replace else before | actions
            if known is None or after != before:
                ordered = sorted(after, key=lambda action: action.ex_date)
                self._storage.record_corporate_actions(self._asset, ordered, self._source, kind)

    def ratio_since(self, bars: pd.DataFrame, last: EpochSeconds) -> float:
        """Return how many shares one share has become in splits after the day of a bar."""
        if "stock_splits" not in bars:
            return 1.0
        day = self._day_of(last)
        later = np.array([self._day_of(start) > day for start in bar_starts(bars).tolist()], dtype=bool)
        splits = bars["stock_splits"].to_numpy()[later]
        return float(np.prod(splits[splits > 0]))

    def _stored(self, kind: str) -> set[CorporateAction]:
        known = self._storage.corporate_actions(self._asset, self._source, kind)
        return set() if known is None else set(known.actions)


def actions_in(bars: pd.DataFrame, day_of: Callable[[EpochSeconds], date]) -> dict[str, set[CorporateAction]]:
    """Return the splits and dividends in daily bars. Capital gains are paid out like dividends and count as such."""
    starts = bar_starts(bars)
    found: dict[str, set[CorporateAction]] = {"split": set(), "dividend": set()}
    for name in _COLUMNS:
        values = bars[name].to_numpy() if name in bars else np.empty(0)
        for row in np.flatnonzero(values):
            day, value = day_of(int(starts[row])), float(values[row])
            if name == "stock_splits":
                found["split"].add(CorporateAction(day, split_from=1.0, split_to=value))
            else:
                found["dividend"].add(CorporateAction(day, amount=value))
    return found


def rescaled(bars: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """Return bars from before a split adjusted for it, with `ratio` new shares for each old one."""
    after: pd.DataFrame = bars.copy()
    for name in _IN_CURRENCY:
        if name in after:
            after[name] = after[name] / ratio
    after["volume"] = (after["volume"] * ratio).round().astype(bars["volume"].dtype)
    return after
