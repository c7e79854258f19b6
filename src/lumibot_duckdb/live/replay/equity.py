"""The values of a session's portfolio beside those of its backtest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class EquityComparison:
    """The values of both sides.

    Attributes:
        values: A row for each time of the session (UTC), with the columns `live` and `backtest`: the latest values.
        live_return: Of the whole session (0.01 is 1 %); None without values.
        backtest_return: Of the backtest.
        largest_difference: Between both values at the same time; None if there is none.
        largest_at: When that was.
    """

    values: pd.DataFrame
    live_return: float | None
    backtest_return: float | None
    largest_difference: float | None
    largest_at: datetime | None


def compare_equity(live: Mapping[str, pa.Table], backtest: Mapping[str, pa.Table]) -> EquityComparison:
    """Compare the values of the portfolio at the times of the session."""
    import pandas as pd

    theirs, ours = _series(live["equity"], "live"), _series(backtest["equity"], "backtest")
    values = pd.merge_asof(theirs, ours, on="time").set_index("time")
    differences = (values["live"] - values["backtest"]).dropna()
    place = None if differences.empty else differences.abs().idxmax()
    return EquityComparison(
        values,
        _return(theirs["live"]),
        _return(ours["backtest"]),
        None if place is None else float(differences[place]),
        None if place is None else pd.Timestamp(place).to_pydatetime(),
    )


def _series(equity: pa.Table, name: str) -> pd.DataFrame:
    frame = equity.select(["time", "value"]).to_pandas().rename(columns={"value": name})
    made: pd.DataFrame = frame.dropna().drop_duplicates("time", keep="last").sort_values("time")
    return made


def _return(values: pd.Series[float]) -> float | None:
    return None if values.empty or not values.iloc[0] else float(values.iloc[-1] / values.iloc[0] - 1)
