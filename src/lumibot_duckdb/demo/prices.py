"""Real daily prices of a few US stocks, 2000 to 2013, from the package `bokeh-sampledata`. Nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")


class SampleDataMissingError(ImportError):
    """The `demo` extra, which includes the sample prices, is not installed."""


def daily_bars(symbol: str) -> pd.DataFrame:
    """Return the daily bars of one of `SYMBOLS`, adjusted for splits and dividends by the package's factors.

    The index is midnight in New York, tz-aware and increasing, named "datetime"; the columns are open, high, low,
    close (float64) and volume (int64, shares as traded). Raises `SampleDataMissingError` without the `demo` extra.
    """
    import pandas as pd

    try:
        from bokeh_sampledata import stocks
    except ImportError as error:
        raise SampleDataMissingError(
            "the demo's sample prices are not installed; run: pip install 'lumibot-duckdb[demo]'"
        ) from error
    table = pd.DataFrame(getattr(stocks, symbol))
    days = pd.DatetimeIndex(pd.to_datetime(table["date"]), name="datetime").tz_localize("America/New_York")
    adjustment = (table["adj_close"] / table["close"]).to_numpy()
    bars: pd.DataFrame = table[["open", "high", "low", "close", "volume"]].set_index(days)
    for column in ("open", "high", "low", "close"):
        bars[column] = bars[column] * adjustment
    return bars
