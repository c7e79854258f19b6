"""Records what Lumibot's Yahoo helper downloads.

Backtests keep a symbol's whole history with its splits, dividends and market, and restate it when these change. So the
bars of live reads are kept apart from it, in the source `yahoo_live`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.live.bar_starts import BarStarts
from lumibot_duckdb.live.closed import end_of_closed
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.reads.proven_ranges import proven_ranges
from lumibot_duckdb.live.reads.series_keys import NotRecordedError
from lumibot_duckdb.lumibot_contract.live_reads_hooks import is_called_by_backtest
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    from lumibot_duckdb.live.reads.read_recording import ReadRecording

SOURCE = "yahoo_live"

_TIMEFRAMES = {"1d": "day", "15m": "15minute", "1m": "minute"}
_MARGIN = timedelta(days=1)
"""Yahoo corrects volumes in the hours after a session."""


def observe_download(recording: ReadRecording, symbol: str, interval: str) -> Callable[[pd.DataFrame | None], None]:
    """Begin to observe a download; return what receives its frame."""
    asked_at = clock.utc_now()

    def downloaded(frame: pd.DataFrame | None) -> None:
        try:
            if frame is not None and len(frame) and not is_called_by_backtest():
                recording.pass_on(live_bars_of(symbol, interval, frame, asked_at), adjusted=True)
        except NotRecordedError as error:
            recording.log_once(f"{interval} bars of {symbol} from Yahoo are not recorded", error)
        except Exception as error:
            recording.log_once("a download from Yahoo was not recorded", error)

    return downloaded


def live_bars_of(symbol: str, interval: str, frame: pd.DataFrame, asked_at: datetime) -> LiveBars | None:
    """Return the settled bars of a download under their true starts; None if there are none.

    Raises:
        NotRecordedError: bars of the interval are not recorded.
    """
    from lumibot_duckdb.sources.yahoo.client import COLUMNS
    from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, asset_of

    timeframe = _TIMEFRAMES.get(interval)
    if timeframe is None:
        raise NotRecordedError(f"{interval!r} is not one of {', '.join(_TIMEFRAMES)}")
    starts = _starts(pd.DatetimeIndex(frame.index), timeframe)
    if len(starts) > 1 and bool((starts[1:] <= starts[:-1]).any()):
        raise NotRecordedError("they have lost their times of day")  # as Lumibot stamps intraday bars of some markets
    settled = end_of_closed(starts, timeframe, asked_at, _MARGIN)
    proven = proven_ranges(BarStarts(starts, "s"), [TimeRange(int(starts[0]), int(starts[-1]) + 1)], timeframe, settled)
    if not proven:
        return None
    bars = frame[starts < settled].rename(columns=COLUMNS).select_dtypes("number").copy()
    bars.index = pd.DatetimeIndex(pd.to_datetime(starts[starts < settled], unit="s", utc=True), name="datetime")
    bars.attrs = {}
    key = SeriesKey(asset_of(symbol), SOURCE, timeframe, ADJUSTMENT)
    # A download of days is the whole history. It replaces the one before: every dividend changes the adjusted closes.
    return LiveBars(key, bars, tuple(proven), asked_at, {"symbol": symbol}, replace=timeframe == "day")


def _starts(index: pd.DatetimeIndex, timeframe: str) -> Int64Array:
    """Return the true starts of bars: Lumibot stamps those of US markets at 16:00 and those of coins at 23:59 UTC."""
    seconds: Int64Array = index.as_unit("s").asi8
    if timeframe != "day":
        return seconds
    local = index.tz_convert("America/New_York")
    if bool(((local.hour == 16) & (local.minute == 0)).all()):
        midnights: Any = local.normalize()
        return _seconds_of(midnights)
    utc = index.tz_convert("UTC")
    if bool(((utc.hour == 23) & (utc.minute == 59)).all()):
        return _seconds_of(utc.normalize())
    return seconds


def _seconds_of(index: pd.DatetimeIndex) -> Int64Array:
    seconds: Int64Array = index.as_unit("s").asi8
    return seconds
