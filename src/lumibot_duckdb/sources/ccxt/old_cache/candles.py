"""Candles from the files of Lumibot's CCXT cache.

A file has candles with three decimals, and the ranges that count as downloaded. Candles marked as missing, which older
releases invented, are gaps. Files are opened read-only, without access to extensions or other files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from lumibot.tools.symbol_normalization import build_ccxt_crypto_symbol

from lumibot_duckdb.sources.ccxt.cache_emulation import AS_CACHED, TIMEFRAMES
from lumibot_duckdb.sources.ccxt.client import SECONDS
from lumibot_duckdb.sources.ccxt.markets import series_of
from lumibot_duckdb.sources.ccxt.old_cache.names import SUFFIX
from lumibot_duckdb.sources.ccxt.price_rounding import PRICES, STORED, rounded
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, CachedBars, LeftOut
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError, UnreadableFileError, WaitingError
from lumibot_duckdb.sources.shared.old_cache.file_ages import written_at
from lumibot_duckdb.storage.api import DataStorageInterface, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, Int64Array

_TRUSTED_SECONDS = 3_600
_TRUSTED_CANDLES = 3
"""How far a range may reach past its candles (the longer of the two): as far as Lumibot trusts it."""

_ISOLATED = {
    "access_mode": "READ_ONLY",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
    "threads": "1",
}
_CANDLES = {"datetime": "TIMESTAMP", "open": "", "high": "", "low": "", "close": "", "volume": "", "missing": ""}
_RANGES = {"start_dt": "TIMESTAMP", "end_dt": "TIMESTAMP"}
_COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns JOIN information_schema.tables USING (table_name)
WHERE table_name = ? AND table_type = 'BASE TABLE'
"""
_READ = """
SELECT datetime, open, high, low, close, volume FROM candles
WHERE (missing IS NULL OR missing = 0) AND datetime IS NOT NULL
    AND open IS NOT NULL AND high IS NOT NULL AND low IS NOT NULL AND close IS NOT NULL
ORDER BY datetime, rowid
"""


@dataclass(frozen=True)
class CachedCandles(CachedBars):
    """Candles with three decimals. Stored candles with all decimals are equal if they are after rounding."""

    def metadata_of(self, piece: TimeRange) -> Mapping[str, Any]:
        """Mark the range as one from Lumibot's cache: rounded, and without the candles that Lumibot drops."""
        return {**self.metadata, AS_CACHED: [[piece.start, piece.end]]}

    def provisional(self, piece: TimeRange) -> list[TimeRange]:
        """Return nothing: ranges end where Lumibot would request candles again."""
        return []

    def _stored(self, storage: DataStorageInterface) -> pd.DataFrame:
        found = super()._stored(storage)
        if not len(found) or found is self.bars:
            return found
        here: pd.DataFrame = found.assign(**rounded({name: np.nan_to_num(found[name].to_numpy()) for name in STORED}))
        return here


def contents_of(path: Path) -> Sequence[CacheContent]:
    """Return the candles of a file and the ranges that they cover."""
    name, _, timeframe = path.name.removesuffix(SUFFIX).rpartition("_")
    base, _, quote = name.rpartition("_")
    if not base or not quote:
        raise LeftAloneError("its name is not one that Lumibot gives to candles (BTC_USDT_1m.duckdb)")
    exchange = path.parent.name
    symbol = f"{base}/{quote}"
    symbol = str(build_ccxt_crypto_symbol(symbol, exchange_id=exchange) or symbol)
    bars, ranges = _contents(path)
    starts: Int64Array = pd.DatetimeIndex(bars.index).as_unit("s").asi8
    asked_at = written_at(path, int(starts[-1]) if len(starts) else None)
    closed = int(asked_at.timestamp())
    length = SECONDS[timeframe]
    covered = coverage.merged(
        piece for start, end in ranges if (piece := _covered(start, end, starts, length, closed)) is not None
    )
    if not covered:
        raise LeftAloneError("it has no closed candles that count as downloaded")
    inside = coverage.in_ranges(starts, covered)
    key = series_of(symbol, exchange, TIMEFRAMES[timeframe])
    candles = CachedCandles(key, bars[inside], covered, asked_at, {"symbol": symbol})
    if inside.all():
        return [candles]
    others = int((~inside).sum())
    return [candles, LeftOut(f"{others:,} candles that had not closed, or do not count as downloaded")]


def _contents(path: Path) -> tuple[pd.DataFrame, list[tuple[datetime, datetime]]]:
    """Return the candles of a file, without duplicates, and the downloaded ranges (both ends included)."""
    with path.open("rb") as file:  # for an unreadable file, DuckDB raises the same error as for a damaged one
        if not file.read(1):
            raise UnreadableFileError("it is empty")
    try:
        with duckdb.connect(str(path), config=dict(_ISOLATED)) as connection:
            for table, columns in (("candles", _CANDLES), ("cache_dt_ranges", _RANGES)):
                found = dict(connection.execute(_COLUMNS, [table]).fetchall())
                if any(name not in found or not found[name].startswith(of) for name, of in columns.items()):
                    raise LeftAloneError(
                        f"it is not a file of Lumibot's CCXT cache: it lacks the table {table} or some of its columns"
                    )
            ranges = connection.execute("SELECT start_dt, end_dt FROM cache_dt_ranges").fetchall()
            values = connection.execute(_READ).fetchnumpy()
    except duckdb.Error as error:
        raise _reason(error) from None
    times = pd.DatetimeIndex(np.asarray(values["datetime"])).as_unit("us")
    if (times.asi8 % 1_000_000).any():
        raise UnreadableFileError("it has candles that do not start at a whole second")
    numbers = {name: _floats(values[name]) for name in STORED}
    index = pd.DatetimeIndex(times.asi8 // 1_000_000 * NANOSECONDS_PER_SECOND, tz="UTC", name="datetime")
    bars = pd.DataFrame(numbers, index=index)
    if not np.isfinite(bars[list(PRICES)].to_numpy()).all():
        raise UnreadableFileError("it has prices that are not finite numbers")
    whole = [(start, end) for start, end in ranges if start is not None and end is not None]
    return bars[~bars.index.duplicated()], whole


def _floats(values: Any) -> np.ndarray[Any, Any]:
    """Return a column as Lumibot reads it: a missing volume is 0."""
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(values.astype("float64"), 0.0))
    return np.asarray(values, dtype="float64")


def _reason(error: duckdb.Error) -> LeftAloneError | UnreadableFileError:
    message = str(error).lower()
    if "could not set lock" in message or "being used by another process" in message:
        return WaitingError("another program has it open; close that program, and run again")
    if "version" in message and "file" in message:
        return LeftAloneError("it was written by a newer version of DuckDB than the installed one")
    if isinstance(error, (duckdb.IOException, duckdb.SerializationException, duckdb.CatalogException)):
        return UnreadableFileError("it is damaged, or not a DuckDB file")
    return UnreadableFileError(f"it cannot be read ({type(error).__name__})")


def _covered(start: datetime, end: datetime, starts: Int64Array, length: int, closed: int) -> TimeRange | None:
    """Return the part of a range that closed candles cover: all of it, if it does not reach far past them.

    Older releases of Lumibot recorded the whole requested range, or the start of the last candle. Newer ones record the
    range from the first to the last candle, and request earlier candles again.
    """
    last, fraction = divmod(_microseconds(end), 1_000_000)
    past = last + length if not fraction and last in starts else -(-(_microseconds(end) + 1) // 1_000_000)
    first, stop = _seconds(start), min(past, closed) // length * length
    inside = starts[(starts >= first) & (starts < stop)]
    if not len(inside):
        return None
    trusted = max(_TRUSTED_SECONDS, _TRUSTED_CANDLES * length)
    opens, closes = int(inside[0]), int(inside[-1]) + length
    return TimeRange(first if opens - first <= trusted else opens, stop if stop - closes <= trusted else closes)


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _seconds(moment: datetime) -> int:
    """Return the first whole second at or after a moment (naive: UTC)."""
    return -(-_microseconds(moment) // 1_000_000)
