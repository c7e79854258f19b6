"""Bars from the pickles of Lumibot's Yahoo cache, and the market and time zone where they were traded.

Lumibot stamps all bars of a US market at 16:00 of their day and those of crypto at 23:59, but the store has bars by
their starts. Days start at midnight. The starts of minutes are known only for days with all bars of a session.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pandas_market_calendars

from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, CachedBars, LeftOut
from lumibot_duckdb.sources.shared.old_cache.errors import (
    ConflictError,
    LeftAloneError,
    MigrationError,
    UnreadableFileError,
)
from lumibot_duckdb.sources.shared.old_cache.file_ages import written_at
from lumibot_duckdb.sources.shared.trading_hours import TradingHours
from lumibot_duckdb.sources.yahoo.client import COLUMNS, EARLIEST, Market
from lumibot_duckdb.sources.yahoo.corporate_actions import actions_in
from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, SOURCE, asset_of
from lumibot_duckdb.sources.yahoo.old_cache.names import TIMEFRAMES, info_file
from lumibot_duckdb.sources.yahoo.old_cache.pickled_frames import YahooPickle, yahoo_pickle
from lumibot_duckdb.sources.yahoo.old_cache.restricted_pickle import LARGEST
from lumibot_duckdb.sources.yahoo.sessions import NEW_YORK, Stamps, hours_of_market
from lumibot_duckdb.storage.api import CorporateAction, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array, bar_starts, date_of

_DAY = 86_400
_NEEDED = {"Open", "High", "Low", "Close", "Adj Close", "Volume"}
_LEFT_OUT = {"Adj Ratio", "Adj Open", "Adj High", "Adj Low"}
"""Columns of very old files, which Lumibot also drops."""

_US, _CRYPTO = "us_market", "ccc_market"
_STAMPED_ZONES = ((_US, NEW_YORK), (_US, "America/Chicago"), (_CRYPTO, "UTC"))
"""Markets that are recognised by their stamps, for files without Yahoo's info."""

_ZONES = (
    *(NEW_YORK, "Europe/London", "Asia/Tokyo", "Europe/Berlin", "America/Chicago", "America/Toronto", "Asia/Hong_Kong"),
    *("Australia/Sydney", "Asia/Kolkata", "Asia/Shanghai", "Asia/Seoul", "Asia/Taipei", "Asia/Singapore", "UTC"),
    *("Europe/Helsinki", "Europe/Istanbul", "Europe/Moscow", "Asia/Jerusalem", "Asia/Riyadh", "Asia/Jakarta"),
    *("America/Sao_Paulo", "America/Mexico_City", "America/Buenos_Aires", "Africa/Johannesburg", "Pacific/Auckland"),
)
"""Time zones that files of days without Yahoo's info may have, the likeliest first."""


@dataclass(frozen=True)
class Place:
    """Where a symbol is traded: its exchange's time zone ("" if unknown), and the market if it is known."""

    zone: str
    market: Market | None

    @property
    def stamps(self) -> Stamps:
        """How Lumibot stamps its bars."""
        return Stamps.of(self.market or Market())

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata that our source stores."""
        zone = {"zone": self.zone} if self.zone else {}
        return zone if self.market is None else {**zone, "market": self.market.name, "market_zone": self.market.zone}


@dataclass(frozen=True)
class YahooDays(CachedBars):
    """The daily history of a symbol, with its splits and dividends."""

    actions: Mapping[str, Collection[CorporateAction]] = field(default_factory=dict)

    @property
    def hours(self) -> TradingHours:
        """When the market is open, by the metadata."""
        market = Market(self.metadata.get("market", ""), self.metadata.get("market_zone", ""))
        return hours_of_market(market, self.metadata["zone"])

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the days that the store lacks, and their actions."""
        added = super().write(storage, metadata, checked)
        for kind, actions in self.actions.items():
            known = storage.corporate_actions(self.key.asset, self.key.source, kind)
            if known is not None and not added:
                continue  # they come from the stored days
            every = {*actions, *(known.actions if known is not None else ())}
            ordered = sorted(every, key=lambda action: action.ex_date)
            if known is None or set(known.actions) != every:
                storage.record_corporate_actions(
                    self.key.asset, ordered, self.key.source, kind, checked_at=self.asked_at
                )
        return added

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare the days and the actions."""
        found = super().difference(storage)
        if found is not None:
            return found
        for kind, actions in self.actions.items():
            known = storage.corporate_actions(self.key.asset, self.key.source, kind)
            lacking = set(actions) - set(() if known is None else known.actions)
            if lacking:
                return f"the store lacks the {kind} of {min(action.ex_date for action in lacking)}"
        return None


@dataclass(frozen=True)
class YahooMinutes(CachedBars):
    """Intraday bars of a symbol. There may have been a split between these and the bars in the store."""

    def provisional(self, piece: TimeRange) -> list[TimeRange]:
        """Return nothing: Yahoo no longer has earlier bars, and the range ends with the last one."""
        return []

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many bars the store lacks, even in covered ranges, because Yahoo keeps only the latest bars."""
        return self.rows - np.intersect1d(bar_starts(self._stored(storage)), self.starts).size

    def _compare_with(self, stored: pd.DataFrame) -> None:
        """Also refuse bars that have none in common with the stored ones, since both may be adjusted differently."""
        super()._compare_with(stored)
        if not np.intersect1d(bar_starts(stored), self.starts).size:
            raise ConflictError(
                f"the store has {self.key.timeframe} bars of {self.key.asset.label()} of other times, which are kept, "
                "and there may have been a split in between"
            )

    def _answered(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return nothing, because the store's coverage proves nothing for days that Yahoo no longer had."""
        return []


def contents_of(path: Path, symbol: str, kind: str) -> Sequence[CacheContent]:
    """Return the bars in a file that is named after a symbol and a kind (a key of `TIMEFRAMES`)."""
    pickled = _read(path)
    if (pickled.symbol, pickled.type) != (symbol, kind):
        raise UnreadableFileError(f"it contains {pickled.type} of {pickled.symbol!r}, which does not match its name")
    frame, incomplete = _checked(pickled.frame())
    market, unreadable = _market_in(info_file(path))
    timeframe = TIMEFRAMES[kind]
    bars_of = _days_of if timeframe == "day" else _minutes_of
    return [
        *bars_of(SeriesKey(asset_of(symbol), SOURCE, timeframe, ADJUSTMENT), symbol, frame, market, path),
        *incomplete,
        *unreadable,
    ]


def _days_of(
    key: SeriesKey, symbol: str, frame: pd.DataFrame, market: Market | None, path: Path
) -> Sequence[CacheContent]:
    index = pd.DatetimeIndex(frame.index)
    if index.has_duplicates:
        twice = index[index.duplicated()][0]
        raise LeftAloneError(f"it has {twice} twice, and it is not known which of the two is right")
    place, starts = _place_of_days(index, market)
    asked_at = written_at(path, int(starts[-1]))
    closed = starts + _DAY <= int(asked_at.timestamp())
    bars = _bars(frame, starts)[closed]
    if not len(bars):
        raise LeftAloneError("its only day may not have been over when it was downloaded")
    zone = ZoneInfo(place.zone)
    last = datetime.fromtimestamp(int(starts[closed][-1]), zone)
    end = (last + timedelta(days=1)).replace(hour=0)
    covered = [TimeRange(EARLIEST, int(end.timestamp()))]
    metadata = {"symbol": symbol, **place.metadata}
    actions = actions_in(bars, partial(date_of, zone=zone))
    history = YahooDays(key, bars, covered, asked_at, metadata, actions=actions)
    open_day = LeftOut("its last day, which may not have been over when it was downloaded")
    return [history] if closed.all() else [history, open_day]


def _minutes_of(
    key: SeriesKey, symbol: str, frame: pd.DataFrame, market: Market | None, path: Path
) -> Sequence[CacheContent]:
    index = pd.DatetimeIndex(frame.index)
    place = _place_of_minutes(index, market)
    starts, known = _starts_of_minutes(index, place, bar_seconds(key.timeframe))
    if not known.any():
        raise LeftAloneError(
            "Lumibot has stamped all bars of a day with the same time, and no day has all bars of its session, so the "
            "bars' own times are not known; Lumibot itself never reads this file again"
        )
    asked_at = written_at(path, int(starts[known][-1]))
    over = known & (starts + bar_seconds(key.timeframe) <= int(asked_at.timestamp()))
    if not over.any():
        raise LeftAloneError("its only bar may not have been over when it was downloaded")
    bars = _bars(frame[over], starts[over])
    covered = TimeRange(EARLIEST, int(starts[over][-1]) + bar_seconds(key.timeframe))
    minutes = YahooMinutes(key, bars, [covered], asked_at, {"symbol": symbol, **place.metadata})
    left_out = {
        "bars of incomplete days, which all have the same time": ~known,
        "bars that may not have been over when it was downloaded": known & ~over,
    }
    return [minutes, *(LeftOut(f"{rows.sum():,} {which}") for which, rows in left_out.items() if rows.any())]


def _read(path: Path) -> YahooPickle:
    size = path.stat().st_size
    if not size:
        raise UnreadableFileError("it is empty")
    if size > LARGEST:
        raise UnreadableFileError(f"it is too large for such a file ({size:,} bytes)")
    return yahoo_pickle(path.read_bytes())


def _market_in(path: Path) -> tuple[Market | None, Sequence[LeftOut]]:
    """Return the market in a file of Yahoo's info, None if it has none; and what is wrong with the file."""
    try:
        return _market_of(_read(path).info()), ()
    except FileNotFoundError:
        return None, ()
    except (MigrationError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return None, [LeftOut(f"{path.name}, which has its market: {reason}", damaged=True)]


def _market_of(info: Mapping[str, Any]) -> Market | None:
    names = [info.get("market") or "", info.get("exchangeTimezoneName") or ""]
    if not info or not all(type(name) is str for name in names) or not _is_zone(names[1]):
        return None
    return Market(*names)


def _is_zone(name: str) -> bool:
    try:
        return not name or bool(ZoneInfo(name))
    except (ValueError, OSError):
        return False


def _checked(frame: pd.DataFrame) -> tuple[pd.DataFrame, Sequence[LeftOut]]:
    """Return the complete rows of a table of Yahoo's bars, with the store's columns, and a note on the other rows."""
    names = set(frame.columns)
    if not names >= _NEEDED or names - _LEFT_OUT - set(COLUMNS):
        raise UnreadableFileError("its columns are not those of Yahoo's bars")
    rows = frame[[name for name in frame.columns if name in COLUMNS]]
    bars = rows.dropna()
    if not len(bars):
        raise LeftAloneError("it has no bars")
    if bars.index.hasnans or not bars.index.is_monotonic_increasing:
        raise UnreadableFileError("its bars are out of order")
    lacking = len(rows) - len(bars)
    return bars.rename(columns=COLUMNS), [LeftOut(f"rows with a missing number ({lacking:,})")] if lacking else []


def _bars(frame: pd.DataFrame, starts: Int64Array) -> pd.DataFrame:
    unit = pd.DatetimeIndex(frame.index).unit
    index = pd.DatetimeIndex(starts * NANOSECONDS_PER_SECOND, tz="UTC", name="datetime").as_unit(unit)
    bars: pd.DataFrame = frame.set_index(index)
    return bars


def _place_of_days(index: pd.DatetimeIndex, market: Market | None) -> tuple[Place, Int64Array]:
    """Return where the days of a file were traded, and their starts. Yahoo's market is used if the stamps match it."""
    places = [Place(market.zone or NEW_YORK, market)] if market is not None else []
    places += [Place(zone, Market(name, zone)) for name, zone in _STAMPED_ZONES]
    without = market if market is not None and not Stamps.of(market).zone else None
    places += [Place(zone, without) for zone in _ZONES]
    for place in places:
        starts = _midnights(index, place.zone)
        if np.array_equal(place.stamps.stamped(starts), index.as_unit("s").asi8) and bool(np.all(np.diff(starts) > 0)):
            return place, starts
    raise LeftAloneError("the times of its days are not those of any known release of Lumibot")


def _midnights(index: pd.DatetimeIndex, zone: str) -> Int64Array:
    """Return the midnights (seconds, UTC) of the days of times."""
    days = index.tz_convert(zone).tz_localize(None).normalize()
    there = days.tz_localize(zone, ambiguous=np.ones(len(days), dtype=bool), nonexistent="shift_forward")
    seconds: Int64Array = there.as_unit("s").asi8
    return seconds


def _place_of_minutes(index: pd.DatetimeIndex, market: Market | None) -> Place:
    if market is not None and _is_stamped(index, market):
        return Place(market.zone or NEW_YORK, market)
    for name, zone in _STAMPED_ZONES:
        if _is_stamped(index, Market(name, zone)):
            return Place(zone, Market(name, zone))
    return Place("", None)


def _is_stamped(index: pd.DatetimeIndex, market: Market) -> bool:
    """Return whether all bars have the stamps that Lumibot gives to bars of a market."""
    stamps = Stamps.of(market)
    if not stamps.zone:
        return market.name not in (_US, _CRYPTO) and not index.has_duplicates
    local = index.tz_convert(stamps.zone)
    return bool(((local.hour * 60 + local.minute) == stamps.minute).all())


def _starts_of_minutes(
    index: pd.DatetimeIndex, place: Place, length: int
) -> tuple[Int64Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the starts of intraday bars and a mask of the known ones: if days are stamped, those of whole sessions."""
    times: Int64Array = index.as_unit("s").asi8
    if not place.stamps.zone:
        if index.has_duplicates:
            raise LeftAloneError("several of its bars have the same time")
        return times, times % 60 == 0
    starts, known = times.copy(), np.zeros(len(times), dtype=bool)
    days, first = np.unique(_midnights(index, place.stamps.zone), return_index=True)
    bounds = [*first.tolist(), len(times)]
    for number, midnight in enumerate(days.tolist()):
        rows = slice(bounds[number], bounds[number + 1])
        session = _session(midnight, place, length)
        if len(session) == rows.stop - rows.start and not (times[rows] % 60).any():
            starts[rows], known[rows] = session, True
    return starts, known


def _session(midnight: int, place: Place, length: int) -> Int64Array:
    """Return the starts of all bars of a day's session."""
    opens, closes = midnight, midnight + _DAY
    if place.market is not None and place.market.name == _US:
        day = datetime.fromtimestamp(midnight, ZoneInfo(place.stamps.zone)).date()
        schedule = pandas_market_calendars.get_calendar("NYSE").schedule(day, day)
        if not len(schedule):
            return np.empty(0, np.int64)
        opens, closes = (int(schedule[name].iloc[0].timestamp()) for name in ("market_open", "market_close"))
    return np.arange(opens, closes, length, dtype=np.int64)
