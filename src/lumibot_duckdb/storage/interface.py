"""What the rest of the package may ask of a store, and the words it asks with.

Times are UTC throughout. A bar is stamped at its start. `EpochSeconds` are whole seconds since 1970-01-01T00:00Z
(negative before); ranges are half-open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

EpochSeconds: TypeAlias = int


@runtime_checkable
class LumibotAsset(Protocol):
    """The part of `lumibot.entities.Asset` that identifies an asset. The storage does not import Lumibot."""

    symbol: str
    asset_type: Any


AssetLike: TypeAlias = "AssetKey | LumibotAsset | tuple[Any, Any] | str"


@dataclass(frozen=True, slots=True)
class AssetKey:
    """What makes an asset itself. Two keys that differ in any field are different assets.

    `quote` is the symbol of the quote asset for what trades in pairs ("USD", "USDT"), else None. `right` is
    "CALL" or "PUT". `multiplier` is the contract's price multiplier (100 for options, 1 else, unless stated).
    `auto_expiry` is the rule by which Lumibot rolls a future that has no expiration of its own ("front_month", ...).
    """

    symbol: str
    asset_type: str = "stock"
    quote: str | None = None
    exchange: str = ""
    expiration: date | None = None
    strike: float | None = None
    right: str | None = None
    multiplier: float = 0.0
    auto_expiry: str | None = None

    def __post_init__(self) -> None:
        if not self.multiplier:
            object.__setattr__(self, "multiplier", 100.0 if self.asset_type == "option" else 1.0)

    def label(self) -> str:
        """Return the name that people read, e.g. `BTC/USD crypto` or `SPY 2024-01-19 470 CALL option`."""
        parts = [self.symbol if self.quote is None else f"{self.symbol}/{self.quote}"]
        if self.expiration is not None:
            parts.append(self.expiration.isoformat())
        if self.strike is not None:
            parts.append(f"{self.strike:.15g}")
        if self.right is not None:
            parts.append(self.right)
        if self.auto_expiry is not None:
            parts.append(self.auto_expiry)
        parts.append(self.asset_type)
        if self.exchange:
            parts.append(f"on {self.exchange}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """One series of bars: an asset, from a source, at a timeframe, under a price adjustment.

    `timeframe` is canonical: "minute", "5minute", "hour", "day", ... `adjustment` is the source's word ("" for
    bars as they came, "split", "all", ...).
    """

    asset: AssetKey
    source: str
    timeframe: str
    adjustment: str = ""

    def label(self) -> str:
        """Return the name that people read, e.g. `AAPL stock, minute bars from polygon`."""
        adjusted = f" ({self.adjustment})" if self.adjustment else ""
        return f"{self.asset.label()}, {self.timeframe} bars from {self.source}{adjusted}"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Half-open range of time in epoch seconds: `start <= t < end`."""

    start: EpochSeconds
    end: EpochSeconds

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"a time range cannot end ({self.end}) before it starts ({self.start})")


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a series: its name and pandas dtype in the frames that went in, and whether it has gaps."""

    name: str
    dtype: str
    has_nulls: bool = False


@dataclass(frozen=True, slots=True)
class SeriesPin:
    """One version of a series as it stood at a moment. Reads through a pin never change.

    Rows of `version_id` that came with an ingest later than `ingest_id` are not seen.
    """

    key: SeriesKey
    series_id: int
    version_id: int
    ingest_id: int


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What is known of a pinned series without reading its bars.

    `index_unit` is the resolution of the time index that went in ("ns", "us", "ms" or "s"). `on_minute` says that
    every bar starts on a whole minute. `first` and `last` are the starts of the first and last bar (None: no bars).
    """

    columns: tuple[ColumnSpec, ...]
    index_unit: str
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    on_minute: bool


@dataclass(frozen=True, slots=True)
class BarArrays:
    """Bars as NumPy arrays: `times` in epoch seconds (int64, increasing) and one array a column, dtypes as stored."""

    times: np.ndarray[Any, np.dtype[np.int64]]
    columns: Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write did. `ingest_id` is None when every bar was there already and nothing was written."""

    key: SeriesKey
    ingest_id: int | None
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    new_version: bool = False


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One line of a listing."""

    key: SeriesKey
    series_id: int
    version_id: int
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    coverage: tuple[TimeRange, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Size and contents of a store, and what this process read from it."""

    path: str
    bytes_on_disk: int
    series: int
    versions: int
    rows: int
    reads: int
    rows_read: int
    cache_hits: int
    cache_bytes: int
    seconds_in_storage: float
    details: Mapping[str, Any] = field(default_factory=dict)


class DataStorageInterface(ABC):
    """A store of bars. `asset` may be an `AssetKey`, a Lumibot `Asset`, a `(base, quote)` tuple or a symbol."""

    # -- writing ---------------------------------------------------------------------------------------------

    @abstractmethod
    def store_ohlcv_data(
        self,
        asset: AssetLike,
        data: pd.DataFrame,
        source: str,
        timeframe: str,
        *,
        adjustment: str = "",
        exchange: str | None = None,
        covered: TimeRange | None = None,
        replace: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> WriteResult:
        """Store bars; the same bars again change nothing.

        `data` is indexed by tz-aware bar starts (whole seconds, no duplicates; any order). New times are added to the
        current version; a time that is stored with other values makes a new version of the whole series. `covered` is
        the range that was asked for (default: from the first bar to the end of the last); with `replace`, `data` is
        all there is in that range, and stored bars that it lacks are removed (in a new version).
        Raises `InvalidBarsError` and stores nothing when the input is not usable.
        """

    @abstractmethod
    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        """Remember that a range was asked for and that the answer was empty. Believed for a limited time only."""

    @abstractmethod
    def delete_series(
        self,
        asset: AssetLike,
        source: str | None = None,
        timeframe: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> int:
        """Delete the matching series with all their versions; return how many bars of current versions went."""

    # -- reading ---------------------------------------------------------------------------------------------

    @abstractmethod
    def get_historical_prices(
        self,
        asset: AssetLike,
        start: datetime | date | str | None = None,
        end: datetime | date | str | None = None,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: datetime | None = None,
    ) -> pd.DataFrame:
        """Return the bars with `start <= time < end`, as they went in: columns, dtypes and values.

        The index is tz-aware, America/New_York, named "datetime". Naive times are taken as New York, like Lumibot
        does. `as_of` reads history as it stood at that moment.
        Raises `SeriesNotFoundError`, or `AmbiguousSeriesError` naming the candidates when `source` (or the
        adjustment, or the quote) is not given and several match.
        """

    @abstractmethod
    def read_pandas(self, pin: SeriesPin, within: TimeRange | None = None) -> pd.DataFrame:
        """Return pinned bars as the frame that `get_historical_prices` gives."""

    @abstractmethod
    def read_arrow(self, pin: SeriesPin, within: TimeRange | None = None) -> pa.Table:
        """Return pinned bars as an Arrow table: `datetime` (timestamp, UTC) and the series' columns."""

    @abstractmethod
    def read_polars(self, pin: SeriesPin, within: TimeRange | None = None) -> pl.DataFrame:
        """Return pinned bars as a polars frame: `datetime` (UTC) and the series' columns."""

    @abstractmethod
    def read_bars(
        self,
        pin: SeriesPin,
        within: TimeRange | None = None,
        columns: Sequence[str] | None = None,
        *,
        remember: bool = True,
    ) -> BarArrays:
        """Return pinned bars as NumPy arrays. The arrays are the caller's to read, not to write.

        `remember=False` keeps the answer out of the result cache, for callers that hold on to the rows themselves.
        """

    @abstractmethod
    def last_time_at_or_before(
        self, pin: SeriesPin, time: EpochSeconds, column: str | None = None
    ) -> EpochSeconds | None:
        """Return the start of the last pinned bar at or before `time` (where `column` is not null), if any."""

    @abstractmethod
    def session_bounds(self, pin: SeriesPin) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return, a row for each New York calendar day with bars, its first and its last bar start (int64, n x 2)."""

    # -- looking up ------------------------------------------------------------------------------------------

    @abstractmethod
    def pin(
        self,
        asset: AssetLike,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: datetime | None = None,
    ) -> SeriesPin:
        """Pin the current version of a series (or the one of `as_of`). Errors as `get_historical_prices`."""

    @abstractmethod
    def facts(self, pin: SeriesPin) -> SeriesFacts:
        """Return columns, dtypes, number of rows, first and last bar of a pinned series."""

    @abstractmethod
    def list_series(
        self, asset: AssetLike | None = None, source: str | None = None, timeframe: str | None = None
    ) -> list[SeriesInfo]:
        """Return the series that match, sorted by symbol, source and timeframe. Coverage is included."""

    @abstractmethod
    def coverage(
        self, asset: AssetLike, timeframe: str = "minute", source: str | None = None, *, adjustment: str | None = None
    ) -> list[TimeRange]:
        """Return the ranges that were asked for and answered, sorted and merged."""

    @abstractmethod
    def missing_ranges(
        self,
        asset: AssetLike,
        wanted: TimeRange,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> list[TimeRange]:
        """Return what of `wanted` is not covered. An unknown series is missing all of it."""

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """Return the size and contents of the store, and what this process read from it."""

    @abstractmethod
    def sql(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        max_rows: int | None = None,
    ) -> pa.Table:
        """Run one read-only statement over the store (`ohlcv_data` is the published view); return its result.

        With `max_rows`, at most so many rows of it, without holding the others in memory.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. The storage may be used again; it opens by itself."""
