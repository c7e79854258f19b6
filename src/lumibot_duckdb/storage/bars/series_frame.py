"""A listing of series as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
import pandas as pd

from lumibot_duckdb.storage.api import EpochSeconds, SeriesInfo
from lumibot_duckdb.storage.bars.output import NEW_YORK

_NO_TIME = np.iinfo(np.int64).min


def series_frame(series: Sequence[SeriesInfo]) -> pd.DataFrame:
    """Return one row for each series: its key, and what of it is stored and covered."""
    assets = [info.key.asset for info in series]
    columns = {
        "symbol": _texts(asset.symbol for asset in assets),
        "asset_type": _texts(asset.asset_type for asset in assets),
        "quote": _texts(asset.quote for asset in assets),
        "exchange": _texts(asset.exchange for asset in assets),
        "expiration": _dates(asset.expiration for asset in assets),
        "strike": np.array([asset.strike for asset in assets], dtype=np.float64),
        "right": _texts(asset.right for asset in assets),
        "multiplier": np.array([asset.multiplier for asset in assets], dtype=np.float64),
        "source": _texts(info.key.source for info in series),
        "timeframe": _texts(info.key.timeframe for info in series),
        "adjustment": _texts(info.key.adjustment for info in series),
        "bars": np.array([info.rows for info in series], dtype=np.int64),
        "first": _times(info.first for info in series),
        "last": _times(info.last for info in series),
        "covered_from": _times(info.coverage[0].start if info.coverage else None for info in series),
        "covered_until": _times(info.coverage[-1].end if info.coverage else None for info in series),
        "covered_ranges": np.array([len(info.coverage) for info in series], dtype=np.int64),
        "provisional_ranges": np.array([len(info.provisional) for info in series], dtype=np.int64),
    }
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def _texts(values: Iterable[str | None]) -> pd.Series[str]:
    return pd.Series(list(values), dtype=object)


def _dates(values: Iterable[date | None]) -> pd.DatetimeIndex:
    dates: pd.DatetimeIndex = pd.DatetimeIndex(np.array(list(values), dtype="M8[s]"))
    return dates


def _times(values: Iterable[EpochSeconds | None]) -> pd.DatetimeIndex:
    ticks = np.array([_NO_TIME if value is None else value for value in values], dtype=np.int64)
    times: pd.DatetimeIndex = pd.DatetimeIndex(ticks.view("M8[s]")).tz_localize("UTC").tz_convert(NEW_YORK)
    return times
