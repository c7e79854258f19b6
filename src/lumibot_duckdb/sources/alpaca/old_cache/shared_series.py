"""Bars from Lumibot's shared bar cache, whose folders are named after digests.

A digest is computed from the symbol, the bar size, the adjustment and (a hash of) the key that the bars were downloaded
with. It is found by trying all known symbols, all bar sizes, and the keys in the environment. No key is kept or shown.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from lumibot.tools.shared_bar_cache import SCHEMA, BarSeries, credential_scope, validate_rows

from lumibot_duckdb.sources.alpaca.actions import ADJUSTED, SOURCE, SPLIT_ADJUSTED
from lumibot_duckdb.sources.alpaca.old_cache.bars import AlpacaBars, settled
from lumibot_duckdb.sources.alpaca.old_cache.names import parsed
from lumibot_duckdb.sources.alpaca.symbols import alpaca_symbol
from lumibot_duckdb.sources.registry import ALPACA
from lumibot_duckdb.sources.shared.evidence import extent
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent
from lumibot_duckdb.sources.shared.old_cache.errors import (
    LeftAloneError,
    MigrationError,
    UnreadableFileError,
    WaitingError,
)
from lumibot_duckdb.sources.shared.old_cache.file_ages import written_at
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import Int64Array, bar_starts

_SHARED_BY_ALL = "provider"
_COLUMNS = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
_SIZES = (
    *((count, TimeFrameUnit.Minute) for count in range(1, 60)),
    *((count, TimeFrameUnit.Hour) for count in range(1, 24)),
    (1, TimeFrameUnit.Day),
)
_REQUESTS = {"stock": "StockBarsRequest", "crypto": "CryptoBarsRequest", "option": "OptionBarsRequest"}


@dataclass(frozen=True)
class Generation:
    """The current generation of a series, and when its prices were last compared with Alpaca's (UTC)."""

    number: int = 0
    verified_at: datetime | None = None


class SharedSeries:
    """Identifies the series of files: those of `assets`, and of the assets that CSV files are named after."""

    def __init__(self, files: Sequence[Path], csv_files: Sequence[Path], assets: Sequence[AssetKey]) -> None:
        self._files = files
        self._csv_files = csv_files
        self._assets = assets

    def contents_of(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars of a file."""
        digest, provider, version = path.parent.name, path.parents[2].name, path.parents[3].name
        if version != f"v{SCHEMA}":
            raise LeftAloneError(f"it has a format ({version}) that this release of Lumibot does not read")
        if provider != SOURCE:
            raise LeftAloneError(f"it has bars of {provider}, which no backtest on the store uses")
        key = self.by_digest.get(digest)
        if key is None:
            raise WaitingError(self._advice)
        bars, covered, epoch = _partition(path, digest)
        generation = _generation(path.with_name("series.json"))
        if epoch < generation.number:
            raise LeftAloneError("its prices have changed since (split or dividend), so Lumibot ignores it, too")
        written = written_at(path)
        given_at = min(written, generation.verified_at or written)
        basis = f"{digest[:12]} {generation.number}" if key.adjustment else ""
        covered = settled(covered, key, written)
        proven = _proven(bar_starts(bars), covered, key.timeframe)
        return [AlpacaBars(key, bars, covered, written, proven=proven, basis=basis, given_at=given_at)]

    # -- identifying series ----------------------------------------------------------------------------------

    @cached_property
    def by_digest(self) -> Mapping[str, SeriesKey]:
        """Return the series of all digests that can be identified."""
        digests = {path.parent.name for path in self._files}
        found: dict[str, SeriesKey] = {}
        scopes = [*self._scopes, _SHARED_BY_ALL]
        for asset in dict.fromkeys([*self._assets, *self._assets_of_csv_files()]):
            for digest, key in _digests(asset, scopes):
                if digest in digests:
                    found[digest] = key
        return found

    @cached_property
    def _scopes(self) -> list[str]:
        """Return Lumibot's hashes of the keys in the environment."""
        keys = [key for name in ALPACA.cache_keys if (key := os.environ.get(name, "").strip())]
        return [scope for key in keys if (scope := credential_scope(SOURCE, key))]

    def _assets_of_csv_files(self) -> Iterator[AssetKey]:
        for path in self._csv_files:
            try:
                yield parsed(path.name.removesuffix(".csv")).key.asset
            except MigrationError:
                continue

    @property
    def _advice(self) -> str:
        symbol, key = "name its symbol (--symbols)", "set ALPACA_API_KEY (or ALPACA_OAUTH_TOKEN) to that key"
        if self._scopes:
            what = f"no known symbol and key match: {symbol}, or {key}"
        else:
            what = f"no key is known: {key}, and {symbol} unless a CSV file or the store has it"
        return f"its name is a digest of its symbol and the key that it was downloaded with, and {what}, and run again"


def _digests(asset: AssetKey, scopes: Sequence[str]) -> Iterator[tuple[str, SeriesKey]]:
    """Yield the digests that bars of an asset may have, with their series."""
    kind = asset.asset_type
    if kind not in _REQUESTS:
        return
    adjustments = (ADJUSTED, SPLIT_ADJUSTED) if kind == "stock" else ("",)
    for count, unit in _SIZES:
        timeframe = canonical_timeframe(f"{count}{unit.value}")
        for adjustment in adjustments:
            key = SeriesKey(asset, SOURCE, timeframe, adjustment)
            series = BarSeries.make(
                SOURCE,
                alpaca_symbol(asset),
                f"{count}{_UNITS[unit]}",
                adjusted=bool(adjustment),
                requestType=_REQUESTS[kind],
                timeframe=str(TimeFrame(count, unit)),
                feed=None,
                adjustment=adjustment or None,
                asof=None,
                currency=None,
            )
            for scope in scopes:
                identity = json.dumps({**series.identity(), "scope": scope}, sort_keys=True)
                yield hashlib.sha256(identity.encode()).hexdigest(), key


_UNITS = {TimeFrameUnit.Minute: "minute", TimeFrameUnit.Hour: "hour", TimeFrameUnit.Day: "day"}


def _partition(path: Path, digest: str) -> tuple[pd.DataFrame, list[TimeRange], int]:
    """Return the bars of a file, the ranges that they cover, and their generation."""
    try:
        frame = pd.read_parquet(path)
        noted = frame.attrs["sharedBars"]
        covered = [TimeRange(_second(start), _second(end)) for start, end in noted["coverage"]]
        of, epoch = noted["series"], int(noted.get("epoch") or 0)
        first, stop = _second(noted["start"]), _second(noted["endExclusive"])
        index = pd.DatetimeIndex(frame.index).tz_convert("UTC").rename("datetime").as_unit("ns")
        bars = frame[[name for name in _COLUMNS if name in frame]].astype("float64").set_axis(index)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UnreadableFileError(f"it is damaged, or not a file of this cache ({type(error).__name__})") from None
    if of != digest or any(piece.start < first or piece.end > stop for piece in covered):
        raise UnreadableFileError("its contents do not match its name")
    if not validate_rows(bars) or not bars.index.is_monotonic_increasing or bool((index.asi8 % 10**9).any()):
        raise UnreadableFileError("it has invalid bars")
    seconds = index.as_unit("s").asi8
    inside = np.zeros(len(bars), dtype=bool)
    for piece in covered:
        inside |= (seconds >= piece.start) & (seconds < piece.end)
    return bars[inside], covered, epoch


def _proven(starts: Int64Array, covered: Sequence[TimeRange], timeframe: str) -> list[TimeRange]:
    """Return what bars prove of covered ranges, range by range, because different requests made them."""
    extents = (extent(starts[(starts >= piece.start) & (starts < piece.end)], timeframe) for piece in covered)
    return [each for each in extents if each is not None]


def _generation(path: Path) -> Generation:
    """Return the generation from the notes on a series. Unreadable notes are ignored, as in Lumibot."""
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        verified = noted.get("verifiedAt")
        moment = None if verified is None else pd.Timestamp(verified).tz_convert("UTC").to_pydatetime()
        return Generation(int(noted.get("epoch") or 0), moment)
    except (OSError, ValueError, TypeError, AttributeError):
        return Generation()


def _second(moment: str) -> int:
    """Return the first whole second at or after a moment."""
    return int(-(-pd.Timestamp(moment).value // 10**9))
