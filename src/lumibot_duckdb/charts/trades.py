"""The trades of a backtest, from the file that Lumibot writes or from its frame."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lumibot_duckdb.charts.errors import ChartError
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    import pandas as pd

Trades: TypeAlias = "str | os.PathLike[str] | pd.DataFrame"

_NEEDED = ("time", "symbol", "side", "status", "price", "filled_quantity")
_FILLS = ("fill", "partial_fill")
_NAMES_SHOWN = 6
# Columns that tell contracts of one symbol apart, and the fields of an asset that they hold.
_TEXTS = (("asset.asset_type", "asset_type"), ("asset.right", "right"))


@dataclass(frozen=True, slots=True)
class Fill:
    """An order, or a part of it, that was filled. `time` is in epoch seconds."""

    time: int
    bought: bool
    side: str
    quantity: float
    price: float


def fills_of(trades: Trades, asset: AssetKey) -> list[Fill]:
    """Return the fills of an asset, in time order.

    Raises `ChartError` if a file cannot be read, lacks a column, or has no fill of the asset.
    """
    import pandas as pd

    name, frame = _table(trades)
    lacking = [column for column in _NEEDED if column not in frame.columns]
    if lacking:
        raise ChartError(f"{name} lacks the column {lacking[0]!r}: pass the trades of a backtest, *_trades.csv")
    filled = frame[frame["status"].astype(str).str.lower().isin(_FILLS)]
    mine = filled[_is_of(filled, asset)]
    if mine.empty:
        raise ChartError(f"{name} has no fill of {asset.label()}{_instead(filled)}")
    prices = pd.to_numeric(mine["price"], errors="coerce")
    quantities = pd.to_numeric(mine["filled_quantity"], errors="coerce")
    found = [
        Fill(int(time), side.lower().startswith("buy"), side.lower(), float(quantity), float(price))
        for time, side, quantity, price in zip(
            _seconds(mine["time"], name), mine["side"].astype(str), quantities, prices, strict=True
        )
    ]
    return sorted(found, key=lambda fill: fill.time)


def _table(trades: Trades) -> tuple[str, pd.DataFrame]:
    import pandas as pd

    if isinstance(trades, pd.DataFrame):
        frame = trades
        if "time" not in frame.columns and frame.index.name == "time":
            frame = frame.reset_index()
        return "the frame of trades", frame
    if not isinstance(trades, (str, os.PathLike)):
        raise ChartError(f"trades are a file or a frame, not {type(trades).__name__}")
    file = Path(trades)
    try:
        return str(file), pd.read_csv(file, dtype={"symbol": str, "asset.right": str, "asset.expiration": str})
    except OSError as error:
        raise ChartError(f"{file}: {error.strerror or error}; name the *_trades.csv of a backtest") from None
    except (ValueError, UnicodeError) as error:  # pandas' errors of reading are ValueErrors
        raise ChartError(f"{file} is not a CSV file of trades: {str(error).strip()}") from None


def _is_of(frame: pd.DataFrame, asset: AssetKey) -> Any:
    names = {asset.symbol.upper(), published_name(asset).upper()}
    which = frame["symbol"].astype(str).str.upper().isin(names)
    for column, field in _TEXTS:
        wanted = getattr(asset, field)
        if column in frame.columns and wanted is not None:
            which &= frame[column].astype(str).str.lower() == wanted.lower()
    if asset.strike is not None and "asset.strike" in frame.columns:
        which &= frame["asset.strike"].astype(float) == asset.strike
    if asset.expiration is not None and "asset.expiration" in frame.columns:
        which &= frame["asset.expiration"].astype(str).str[:10] == asset.expiration.isoformat()
    return which


def _seconds(times: pd.Series[Any], name: str) -> Int64Array:
    """Return epoch seconds. A time without a zone is New York's, as Lumibot's are."""
    from lumibot_duckdb.storage.times import epoch_seconds, new_york_timestamp

    try:
        # One by one, since the offsets of a file change with the clocks.
        return np.array([epoch_seconds(new_york_timestamp(time)) for time in times], np.int64)
    except (TypeError, ValueError) as error:
        raise ChartError(f"{name} has an unusable time: {error}") from None


def _instead(filled: pd.DataFrame) -> str:
    names = sorted({str(each) for each in filled["symbol"].dropna()})
    if not names:
        return "; it has no fills at all"
    return f"; it has fills of {', '.join(names[:_NAMES_SHOWN])}{', ...' if len(names) > _NAMES_SHOWN else ''}"
