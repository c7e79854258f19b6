"""Names of candles on the time axis. The axis has one place for each candle, so closed markets leave no gap."""

from __future__ import annotations

import pandas as pd

from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, Int64Array

_DAY, _MINUTE, _SECOND = "%Y-%m-%d", "%Y-%m-%d<br>%H:%M", "%Y-%m-%d<br>%H:%M:%S"


def labels(times: Int64Array, timeframe: str, zone: str) -> list[str]:
    """Return a name for each bar start, no two alike: its day or time, with the zone where a clock shows it twice."""
    index = pd.DatetimeIndex(times, dtype=pd.DatetimeTZDtype("s", zone))
    if bar_seconds(timeframe) >= SECONDS_PER_DAY:
        form = _DAY
    else:
        form = _SECOND if bool((index.second != 0).any()) else _MINUTE
    names = pd.Series(index.strftime(form))
    for further in (f"{_SECOND} %Z", f"{_SECOND} %z %s"):
        repeated = names.duplicated(keep=False)
        if repeated.any():
            names[repeated] = index[repeated].strftime(further if form != _DAY else _MINUTE)
            form = _MINUTE
    return [str(name) for name in names]
