"""Bars out of the pickles of Lumibot's Yahoo cache, and where they were traded.

Lumibot stamps all bars of a US market at 16:00 of their day and those of crypto at 23:59. The store has them by their
starts. Of a day that is its midnight; of minutes it is known only where a whole session of them is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from lumibot_duckdb.sources.yahoo.client import COLUMNS, EARLIEST, Market
from lumibot_duckdb.sources.yahoo.history import ADJUSTMENT, SOURCE, asset_of
from lumibot_duckdb.sources.yahoo.old_cache.names import TIMEFRAMES, info_file
from lumibot_duckdb.sources.yahoo.old_cache.pickled_frames import YahooPickle, yahoo_pickle
from lumibot_duckdb.sources.yahoo.old_cache.restricted_pickle import LARGEST
from lumibot_duckdb.sources.yahoo.sessions import NEW_YORK, Stamps
from lumibot_duckdb.storage.api import CorporateAction, DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import bar_starts as starts_of
from lumibot_duckdb.windows.series_view import SECOND, Int64Array

_DAY = 86_400
_NEEDED = {"Open", "High", "Low", "Close", "Adj Close", "Volume"}
_LEFT_OUT = {"Adj Ratio", "Adj Open", "Adj High", "Adj Low"}
"""Columns of very old files, which Lumibot drops, too."""

_US, _CRYPTO = "us_market", "ccc_market"
_STAMPED_ZONES = ((_US, NEW_YORK), (_US, "America/Chicago"), (_CRYPTO, "UTC"))
"""Markets by whose stamps a file without Yahoo's word is recognised."""

_ZONES = (
    *(NEW_YORK, "Europe/London", "Asia/Tokyo", "Europe/Berlin", "America/Chicago", "America/Toronto", "Asia/Hong_Kong"),
    *("Australia/Sydney", "Asia/Kolkata", "Asia/Shanghai", "Asia/Seoul", "Asia/Taipei", "Asia/Singapore", "UTC"),
    *("Europe/Helsinki", "Europe/Istanbul", "Europe/Moscow", "Asia/Jerusalem", "Asia/Riyadh", "Asia/Jakarta"),
    *("America/Sao_Paulo", "America/Mexico_City", "America/Buenos_Aires", "Africa/Johannesburg", "Pacific/Auckland"),
)
"""Zones whose midnights a file of days without Yahoo's word may have, the likeliest first."""


@dataclass(frozen=True)
class Place:
    """Where a symbol is traded: the zone of its exchange ("" if nothing tells), the market if Yahoo has said it."""

    zone: str
    market: Market | None

    @property
    def stamps(self) -> Stamps:
        """How Lumibot has stamped its bars."""
        return Stamps.of(self.market or Market())

    @property
    def metadata(self) -> dict[str, Any]:
        """What our source notes of it."""
        zone = {"zone": self.zone} if self.zone else {}
        return zone if self.market is None else {**zone, "market": self.market.name, "market_zone": self.market.zone}


@dataclass(frozen=True)
class YahooDays(CachedBars):
    """The daily history of a symbol, with the splits and dividends that it tells of."""

    actions: Mapping[str, Sequence[CorporateAction]] = field(default_factory=dict)

    def write(self, storage: DataStorageInterface, metadata: Mapping[str, Any], checked: int | None) -> int:
        """Store the days that are not there yet, and the actions that belong to them."""
        added = super().write(storage, metadata, checked)
        for kind, actions in self.actions.items():
            known = storage.corporate_actions(self.key.asset, self.key.source, kind)
            if known is not None and not added:
                continue  # what the store's own days tell of
            every = {*actions, *(known.actions if known is not None else ())}
            ordered = sorted(every, key=lambda action: action.ex_date)
            if known is None or set(known.actions) != every:
                storage.record_corporate_actions(
                    self.key.asset, ordered, self.key.source, kind, checked_at=self.asked_at
                )
        return added

    def difference(self, storage: DataStorageInterface) -> str | None:
        """Compare the days, and the actions."""
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
    """Intraday bars of a symbol. Others may have gathered in the store; a split may lie in between."""

    def new_rows(self, storage: DataStorageInterface) -> int:
        """Return how many bars the store does not have, whatever it covers: Yahoo has no older ones any more."""
        return self.rows - np.intersect1d(starts_of(self._stored(storage)), self.starts).size

    def _compare_with(self, stored: pd.DataFrame) -> None:
        """Refuse bars, too, that have none in common with those that are there, to show that they go together."""
        super()._compare_with(stored)
        if not np.intersect1d(starts_of(stored), self.starts).size:
            raise ConflictError(
                f"the store has other {self.key.timeframe} bars of {self.key.asset.label()} already, and nothing "
                "tells whether there was a split in between; those are kept"
            )

    def _answered(self, storage: DataStorageInterface) -> list[TimeRange]:
        """Return nothing: Yahoo has the last days only, so that others were lacking from what is stored."""
        return []


def contents_of(path: Path, symbol: str, kind: str) -> Sequence[CacheContent]:
    """Return the bars in a file that should hold a symbol's of a kind (a key of `TIMEFRAMES`)."""
    pickled = _read(path)
    if (pickled.symbol, pickled.type) != (symbol, kind):
        raise UnreadableFileError(f"it holds {pickled.type} of {pickled.symbol!r}, which is not what its name says")
    frame, lacking = _checked(pickled.frame())
    said, not_said = _market_in(info_file(path))
    timeframe = TIMEFRAMES[kind]
    of = _days_of if timeframe == "day" else _minutes_of
    return [
        *of(SeriesKey(asset_of(symbol), SOURCE, timeframe, ADJUSTMENT), symbol, frame, said, path),
        *lacking,
        *not_said,
    ]


def _days_of(
    key: SeriesKey, symbol: str, frame: pd.DataFrame, said: Market | None, path: Path
) -> Sequence[CacheContent]:
    index = pd.DatetimeIndex(frame.index)
    if index.has_duplicates:
        twice = index[index.duplicated()][0]
        raise LeftAloneError(f"it has {twice} twice, and nothing tells which of the two is right")
    place, starts = _days_placed(index, said)
    asked_at = written_at(path, int(starts[-1]))
    closed = starts + _DAY <= int(asked_at.timestamp())
    bars = _bars(frame, starts)[closed]
    if not len(bars):
        raise LeftAloneError("its only day may not have been over when it was downloaded")
    last = datetime.fromtimestamp(int(starts[closed][-1]), ZoneInfo(place.zone))
    end = (last + timedelta(days=1)).replace(hour=0)
    covered = [TimeRange(EARLIEST, int(end.timestamp()))]
    metadata = {"symbol": symbol, **place.metadata}
    history = YahooDays(key, bars, covered, asked_at, metadata, _actions_in(bars, place.zone))
    open_day = LeftOut("its last day, which may not have been over when it was downloaded")
    return [history] if closed.all() else [history, open_day]


def _minutes_of(
    key: SeriesKey, symbol: str, frame: pd.DataFrame, said: Market | None, path: Path
) -> Sequence[CacheContent]:
    index = pd.DatetimeIndex(frame.index)
    place = _minutes_placed(index, said)
    starts, known = _starts_of_minutes(index, place, bar_seconds(key.timeframe))
    if not known.any():
        raise LeftAloneError(
            "Lumibot has given the same time to all bars of a day, and no day has all of them, which would tell their "
            "own; Lumibot itself never reads this file again"
        )
    asked_at = written_at(path, int(starts[known][-1]))
    over = known & (starts + bar_seconds(key.timeframe) <= int(asked_at.timestamp()))
    if not over.any():
        raise LeftAloneError("its only bar may not have been over when it was downloaded")
    bars = _bars(frame[over], starts[over])
    covered = TimeRange(EARLIEST, int(starts[over][-1]) + bar_seconds(key.timeframe))
    minutes = YahooMinutes(key, bars, [covered], asked_at, {"symbol": symbol, **place.metadata})
    left_out = {
        "bars of days that are not whole, which all have the same time": ~known,
        "bars that may not have been over when it was downloaded": known & ~over,
    }
    return [minutes, *(LeftOut(f"{rows.sum():,} {which}") for which, rows in left_out.items() if rows.any())]


def _read(path: Path) -> YahooPickle:
    size = path.stat().st_size
    if not size:
        raise UnreadableFileError("it is empty")
    if size > LARGEST:
        raise UnreadableFileError(f"it is larger than such files are ({size:,} bytes)")
    return yahoo_pickle(path.read_bytes())


def _market_in(path: Path) -> tuple[Market | None, Sequence[LeftOut]]:
    """Return what Yahoo said of where a symbol is traded, None if the file does not tell; and what is wrong with it."""
    try:
        return _market_of(_read(path).info()), ()
    except FileNotFoundError:
        return None, ()
    except (MigrationError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return None, [LeftOut(f"{path.name}, of where it is traded: {reason}", damaged=True)]


def _market_of(said: Mapping[str, Any]) -> Market | None:
    words = [said.get("market") or "", said.get("exchangeTimezoneName") or ""]
    if not said or not all(type(word) is str for word in words) or not _is_zone(words[1]):
        return None
    return Market(*words)


def _is_zone(name: str) -> bool:
    try:
        return not name or bool(ZoneInfo(name))
    except (ValueError, OSError):
        return False


def _checked(frame: pd.DataFrame) -> tuple[pd.DataFrame, Sequence[LeftOut]]:
    """Return a table of Yahoo's bars with the columns that the store has, and what of it is none."""
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
    return bars.rename(columns=COLUMNS), [LeftOut(f"rows that lack a number ({lacking:,})")] if lacking else []


def _bars(frame: pd.DataFrame, starts: Int64Array) -> pd.DataFrame:
    unit = pd.DatetimeIndex(frame.index).unit
    index = pd.DatetimeIndex(starts * SECOND, tz="UTC", name="datetime").as_unit(unit)
    bars: pd.DataFrame = frame.set_index(index)
    return bars


def _days_placed(index: pd.DatetimeIndex, said: Market | None) -> tuple[Place, Int64Array]:
    """Return where the days of a file were traded, and their starts; by Yahoo's word if that agrees with the stamps."""
    places = [Place(said.zone or NEW_YORK, said)] if said is not None else []
    places += [Place(zone, Market(name, zone)) for name, zone in _STAMPED_ZONES]
    without = said if said is not None and not Stamps.of(said).zone else None
    places += [Place(zone, without) for zone in _ZONES]
    for place in places:
        starts = _midnights(index, place.zone)
        if np.array_equal(place.stamps.stamped(starts), index.as_unit("s").asi8) and bool(np.all(np.diff(starts) > 0)):
            return place, starts
    raise LeftAloneError("its days are stamped in a way that no release of Lumibot is known for")


def _midnights(index: pd.DatetimeIndex, zone: str) -> Int64Array:
    """Return the beginnings of the days that times are on (seconds, UTC)."""
    days = index.tz_convert(zone).tz_localize(None).normalize()
    there = days.tz_localize(zone, ambiguous=np.ones(len(days), dtype=bool), nonexistent="shift_forward")
    seconds: Int64Array = there.as_unit("s").asi8
    return seconds


def _minutes_placed(index: pd.DatetimeIndex, said: Market | None) -> Place:
    if said is not None and _is_stamped(index, said):
        return Place(said.zone or NEW_YORK, said)
    for name, zone in _STAMPED_ZONES:
        if _is_stamped(index, Market(name, zone)):
            return Place(zone, Market(name, zone))
    return Place("", None)


def _is_stamped(index: pd.DatetimeIndex, market: Market) -> bool:
    """Tell whether all bars have the times that Lumibot gives to those of a market."""
    stamps = Stamps.of(market)
    if not stamps.zone:
        return market.name not in (_US, _CRYPTO) and not index.has_duplicates
    local = index.tz_convert(stamps.zone)
    return bool(((local.hour * 60 + local.minute) == stamps.minute).all())


def _starts_of_minutes(
    index: pd.DatetimeIndex, place: Place, length: int
) -> tuple[Int64Array, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the starts of intraday bars, and of which they are known: of whole sessions, where a day has one time."""
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


def _actions_in(bars: pd.DataFrame, zone: str) -> dict[str, list[CorporateAction]]:
    """Return the splits and dividends (capital gains are paid out likewise) that days tell of."""
    days = pd.DatetimeIndex(bars.index).tz_convert(zone).date
    found: dict[str, set[CorporateAction]] = {"split": set(), "dividend": set()}
    for name in ("dividend", "stock_splits", "capital_gains"):
        values = bars[name].to_numpy() if name in bars else np.empty(0)
        for row in np.flatnonzero(values):
            value = float(values[row])
            if name == "stock_splits":
                found["split"].add(CorporateAction(days[row], split_from=1.0, split_to=value))
            else:
                found["dividend"].add(CorporateAction(days[row], amount=value))
    return {kind: sorted(actions, key=lambda action: action.ex_date) for kind, actions in found.items()}
