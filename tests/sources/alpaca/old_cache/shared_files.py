"""Files of Lumibot's shared bar cache, as it writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.tools.shared_bar_cache import SCHEMA, BarSeries, credential_scope

KEY = "PKSHAREDSHARED"


def series_of(symbol: str, kind: str = "StockBarsRequest", adjustment: str | None = "all") -> BarSeries:
    """Return the days of a symbol that were downloaded with `KEY`."""
    return BarSeries.make(
        "alpaca",
        symbol,
        "1day",
        scope=credential_scope("alpaca", KEY),
        adjusted=adjustment is not None,
        requestType=kind,
        timeframe="1Day",
        feed=None,
        adjustment=adjustment,
        asof=None,
        currency=None,
    )


def days(first: str, rows: int = 4, price: float = 10.0) -> pd.DataFrame:
    """Return bars of consecutive days, New York's."""
    index = pd.date_range(first, periods=rows, tz="America/New_York").tz_convert("UTC")
    values = {"open": price, "high": price + 2, "low": price - 1, "close": price + 1, "volume": 700.0}
    return pd.DataFrame(values | {"vwap": price + 0.5, "trade_count": 3.0}, index=index.rename("timestamp"))


def write_year(folder: Path, series: BarSeries, bars: pd.DataFrame, *, year: int = 2024, epoch: int = 0) -> Path:
    """Write the file of a year. It counts as downloaded from the first to the last bar."""
    path = folder / "bars" / f"v{SCHEMA}" / "alpaca" / series.digest[:2] / series.digest / f"{year}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    first, last = (
        (bars.index[0], bars.index[-1]) if len(bars) else map(pd.Timestamp, (f"{year}-03-04", f"{year}-03-08"))
    )
    noted: dict[str, Any] = {
        "schema": SCHEMA,
        "series": series.digest,
        "epoch": epoch,
        "start": f"{year}-01-01T00:00:00+00:00",
        "endExclusive": f"{year + 1}-01-01T00:00:00+00:00",
        "coverage": [[_utc(first).isoformat(), (_utc(last) + pd.Timedelta(days=1)).isoformat()]],
        "strict": True,
    }
    frame = bars.copy()
    frame.attrs = {"sharedBars": noted}
    frame.to_parquet(path)
    return path


def write_notes(folder: Path, series: BarSeries, epoch: int) -> Path:
    """Write Lumibot's notes on a series: the current generation of its files."""
    path = folder / "bars" / f"v{SCHEMA}" / "alpaca" / series.digest[:2] / series.digest / "series.json"
    path.write_text(json.dumps({"epoch": epoch, "verifiedAt": None}))
    return path


def _utc(moment: pd.Timestamp) -> pd.Timestamp:
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
