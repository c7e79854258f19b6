"""Bars and option chains from the files of Lumibot's Alpaca cache.

Lumibot aligns minutes and days to a calendar and fills the gaps. Filled rows are left out here; windows fill them again
when they are read. Times that a file cannot show, such as those outside of the sessions, are not covered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytz
from lumibot.tools.helpers import get_trading_days

from lumibot_duckdb.sources.alpaca.actions import SOURCE
from lumibot_duckdb.sources.alpaca.chains import LISTED_ON
from lumibot_duckdb.sources.alpaca.old_cache.bars import AlpacaBars, day_basis, settled
from lumibot_duckdb.sources.alpaca.old_cache.names import AlpacaName, parsed
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, LeftOut
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError, UnreadableFileError
from lumibot_duckdb.sources.shared.old_cache.file_ages import written_at
from lumibot_duckdb.sources.shared.old_cache.option_chain import CachedChain
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array
from lumibot_duckdb.windows.calendar_frames import COLUMNS, minutes_of, runs_of

NOT_ASKED_FOR = timedelta(minutes=16)
"""Lumibot never requests the latest bars."""

_MINUTE = 60
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def bars_of(path: Path) -> Sequence[CacheContent]:
    """Return the bars in a CSV file that Alpaca returned, without filled rows."""
    name = parsed(path.name.removesuffix(".csv"))
    frame = _rows(path, name)
    filled = name.is_filled
    if filled and not len(frame):
        raise LeftAloneError("it has no bars")
    asked_at = written_at(path) - NOT_ASKED_FOR
    times: Int64Array = pd.DatetimeIndex(frame.index).as_unit("s").asi8
    real = real_rows(frame) if filled else np.ones(len(frame), dtype=bool)
    still_open = real & (times + bar_seconds(name.key.timeframe) > int(asked_at.timestamp()))
    real &= ~still_open
    covered = settled(_covered(name, times), name.key, asked_at)
    if not covered or (filled and not real.any()):
        raise LeftAloneError("none of its bars had closed when it was written")
    basis = day_basis(asked_at + NOT_ASKED_FOR) if name.key.adjustment else ""
    bars = AlpacaBars(name.key, frame[real], covered, asked_at, basis=basis)
    if not still_open.any():
        return [bars]
    return [bars, LeftOut(f"{int(still_open.sum()):,} bars that had not closed when it was written")]


def chain_of(path: Path) -> Sequence[CacheContent]:
    """Return the option chain of a JSON file."""
    try:
        symbol, _, *days = path.name.removesuffix(".json").rsplit("_", 3)
        first, last = map(date.fromisoformat, days)
    except ValueError:
        raise LeftAloneError("its name is not one that Lumibot gives to option chains") from None
    try:
        sides = json.loads(path.read_text(encoding="utf-8"))["Chains"]
        chains = {right: _expirations(sides[right], first, last) for right in ("CALL", "PUT")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableFileError("it is damaged, or not an option chain") from None
    listed_at = written_at(path)
    chain = {LISTED_ON: listed_at.astimezone().date().isoformat(), "Chains": chains}
    ahead = (last - first).days
    return [CachedChain(AssetKey(symbol.upper()), SOURCE, first, ahead, chain, listed_at, (LISTED_ON,))]


def real_rows(frame: pd.DataFrame) -> Mask:
    """Return a mask of the rows that are bars, and not filled by Lumibot.

    A filled row has no volume and the last close as its prices, or, before the first bar, that bar's open. Some bars of
    crypto look the same. They are taken for filled rows, and filling makes equal rows of them again.
    Raises `LeftAloneError` if no row is certain to be a bar.
    """
    values = {name: frame[name].to_numpy() for name in COLUMNS}
    opens, closes = values["open"], values["close"]
    flat = values["volume"] == 0
    for name in ("high", "low", "close"):
        flat &= values[name] == opens
    carried = flat.copy()
    carried[1:] &= closes[1:] == closes[:-1]
    carried[:1] = False
    if flat.all():
        raise LeftAloneError("it has no bar that can be distinguished from rows that Lumibot fills")
    first = _first_bar(flat, opens)
    real: Mask = ~carried
    real[:first] = False
    real[first : first + 1] = True
    return real


def _first_bar(flat: Mask, opens: np.ndarray[Any, Any]) -> int:
    """Return the row of the first bar: the first that is not flat, if all rows before it are flat at its open."""
    moving = int(np.argmin(flat))
    return moving if bool((opens[:moving] == opens[moving]).all()) else 0


def _rows(path: Path, name: AlpacaName) -> pd.DataFrame:
    """Return the rows of a file, indexed by their times (UTC), with the numbers that Lumibot reads."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 1))
        if file.read() != b"\n":
            raise UnreadableFileError("it is empty" if not size else "it is truncated")
    try:
        frame = pd.read_csv(path)
        index = pd.DatetimeIndex(
            pd.to_datetime(frame["timestamp"], utc=True, format="ISO8601"), name="datetime"
        ).as_unit("ns")
        rows: pd.DataFrame = frame[list(COLUMNS)].astype("float64").set_axis(index)
    except Exception as error:  # pandas' parsers raise errors of many types
        raise UnreadableFileError(f"it is damaged, or not a table of bars ({type(error).__name__})") from None
    times = index.asi8
    if index.hasnans or bool((np.diff(times) <= 0).any()) or bool((times % NANOSECONDS_PER_SECOND).any()):
        raise UnreadableFileError("its times are out of order")
    seconds = times // NANOSECONDS_PER_SECOND
    if len(seconds) and not name.window.start <= seconds[0] <= seconds[-1] < name.window.end:
        raise UnreadableFileError("it has bars of other days than its name says")
    if not np.isfinite(rows.to_numpy()).all():
        raise UnreadableFileError("it lacks prices")
    return rows


def _covered(name: AlpacaName, times: Int64Array) -> list[TimeRange]:
    """Return the ranges that a file covers."""
    if name.key.timeframe == "minute" and name.key.asset.asset_type != "option":
        minutes = times if name.is_filled else _session_minutes(name)
        return [TimeRange(first, last + _MINUTE) for first, last in runs_of(minutes, _MINUTE)]
    if name.is_filled and _days_after(name, int(times[-1])):
        following = datetime.fromtimestamp(int(times[-1]), name.zone).date() + timedelta(days=1)
        midnight = datetime(following.year, following.month, following.day, tzinfo=name.zone)
        return [TimeRange(name.window.start, int(midnight.timestamp()))]
    return [name.window]


def _session_minutes(name: AlpacaName) -> Int64Array:
    minutes = minutes_of(_trading_days(name, name.window.start))
    found: Int64Array = minutes[(minutes >= name.window.start) & (minutes < name.window.end)]
    return found


def _days_after(name: AlpacaName, last: int) -> bool:
    """Return whether trading days are missing after the last day of a file."""
    if name.market is None:
        return True
    opens = _trading_days(name, last)["market_open"]
    day = datetime.fromtimestamp(last, name.zone).date()
    return any(opened.astimezone(name.zone).date() > day for opened in opens if opened.timestamp() < name.window.end)


def _trading_days(name: AlpacaName, since: int) -> pd.DataFrame:
    if name.market is None:
        raise LeftAloneError("its market, and therefore its sessions, are not known")
    zone = pytz.timezone(name.zone.key)  # Lumibot accepts only pytz
    start, end = (datetime.fromtimestamp(moment, zone) for moment in (since, name.window.end + 86_400))
    days: pd.DataFrame = get_trading_days(name.market, start, end, tzinfo=zone)
    return days


def _expirations(side: Any, first: date, last: date) -> dict[str, list[float]]:
    found = {}
    for day, strikes in side.items():
        if not first <= date.fromisoformat(day) <= last or type(strikes) is not list:
            raise ValueError(f"{day} does not belong to it")
        if any(type(strike) not in (int, float) for strike in strikes):
            raise ValueError("a strike is not a number")
        found[day] = strikes
    return found
