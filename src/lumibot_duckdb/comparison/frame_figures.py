"""The figures of a finished backtest from Lumibot's own frames, for the same statistics as those of recorded texts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.comparison.outcome import FILLS
from lumibot_duckdb.comparison.round_trips import CHANGES, NUMBERS, TEXTS, profits
from lumibot_duckdb.comparison.trading_statistics import NO_POSITIONS, Figures

if TYPE_CHECKING:
    import pandas as pd


def figures_of_frames(
    events: pd.DataFrame, values: pd.DataFrame, returns: pd.Series[float] | None, risk_free_rate: float
) -> Figures:
    """Return the figures of a backtest from its trade events, its values at each iteration and its daily returns."""
    import pandas as pd

    numbers = column_of_numbers(values, "portfolio_value")
    none = pd.Series([], pd.DatetimeIndex([]), float)
    return Figures(
        profits(_changes(events)),
        _fees(events),
        [value for value in numbers.tolist() if math.isfinite(value)],
        [_holds(value) for value in values["positions"]] if "positions" in values else [],
        _days(values),
        none if returns is None else returns,
        risk_free_rate,
    )


def column_of_numbers(frame: pd.DataFrame, name: str) -> pd.Series[float]:
    """Return a column as numbers, with NaN for other values; NaN everywhere if there is no such column."""
    import pandas as pd

    column = frame[name] if name in frame else pd.Series(math.nan, frame.index, float)
    numbers: pd.Series[float] = pd.to_numeric(column, errors="coerce").astype(float)
    return numbers


def text_of(value: Any) -> str:
    """Return a value of a trade event as a text. Members of Lumibot's enumerations are strings."""
    return str.__str__(value) if isinstance(value, str) else str(value)


def _changes(events: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows that may change positions, with the columns that closed trades are computed from."""
    if "status" not in events:
        return
    rows = events[events["status"].isin(CHANGES)]
    texts = {name: map(text_of, rows[name]) for name in TEXTS if name in rows}
    numbers = {name: rows[name] for name in NUMBERS if name in rows}
    columns = {**texts, **numbers}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _fees(events: pd.DataFrame) -> float:
    if "status" not in events or "trade_cost" not in events:
        return 0.0
    costs = events.loc[events["status"].isin(FILLS), "trade_cost"]
    return float(sum(map(float, costs.dropna())))


def _holds(positions: Any) -> bool:
    return bool(positions) if isinstance(positions, (list, tuple)) else str(positions) not in NO_POSITIONS


def _days(values: pd.DataFrame) -> int:
    if "datetime" not in values:
        return 0
    times = values["datetime"]
    return len({str(time)[:10] for time in times}) if times.dtype == object else times.dt.normalize().nunique()
