"""What the rest of the package may ask of a store, and the words it asks with.

Times are UTC throughout. A bar is stamped at its start. `EpochSeconds` are whole seconds since 1970-01-01T00:00Z
(negative before); ranges are half-open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from math import isfinite
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
    """One column of a series: its name and pandas dtype in the frames that went in, and whether it has gaps.

    `mixed` says that some writes brought whole numbers and others floating-point ones.
    """

    name: str
    dtype: str
    has_nulls: bool = False
    mixed: bool = False


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
    """What a write did. `ingest_id` is None when every bar was there already and nothing was written.

    `version_id` is the series' current version after it (None: there is no such series).
    """

    key: SeriesKey
    ingest_id: int | None
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    new_version: bool = False
    version_id: int | None = None


@dataclass(frozen=True, slots=True)
class IngestInfo:
    """One write: when it was (UTC), of which kind, and the metadata that was given with it."""

    ingest_id: int
    ingested_at: datetime
    kind: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (`split_to` new shares for `split_from` old ones) or a dividend (`amount` a share, in its currency).

    Raises ValueError for a date or a number that is none. A datetime counts as its date, a whole number as a float.
    """

    ex_date: date
    split_from: float | None = None
    split_to: float | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ex_date, date):
            raise ValueError(f"the ex-date {self.ex_date!r} is not a date")
        if isinstance(self.ex_date, datetime):
            object.__setattr__(self, "ex_date", self.ex_date.date())
        for name in ("split_from", "split_to", "amount"):
            number = getattr(self, name)
            if number is None:
                continue
            object.__setattr__(self, name, float(number))
            if not isfinite(getattr(self, name)):
                raise ValueError(f"{name} of the corporate action of {self.ex_date} is {number!r}, which is no number")


@dataclass(frozen=True, slots=True)
class KnownActions:
    """All actions of a kind that a source had when it was last asked (`checked_at`, UTC), by ex-date."""

    checked_at: datetime
    actions: tuple[CorporateAction, ...]


@dataclass(frozen=True, slots=True)
class OptionChain:
    """The options that there were on an underlying as of a date, up to `days_ahead` days from it (None: all).

    `chain` is what was stored, such as `{"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19":
    [465.0, 470.0]}, "PUT": {}}}`; it is the caller's.
    """

    underlying: AssetKey
    source: str
    as_of: date
    days_ahead: int | None
    chain: dict[str, Any]


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
class StorageUse:
    """What was done with a storage so far. Times are in seconds.

    `seconds` is what reads, look-ups and writes took, waits for other processes included, summed over threads.
    `downloads` are answers of a source that were stored, and `seconds_downloading` is how long they were waited for.
    """

    reads: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    downloads: int = 0
    bars_downloaded: int = 0
    seconds_downloading: float = 0.0

    def since(self, before: StorageUse) -> StorageUse:
        """Return what was done since an earlier moment."""
        return StorageUse(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Size and contents of a store, and what was done with it through this storage; see `StorageUse`.

    `details` has what others count: "windows", what the windows of backtests on this storage did; "spooled", downloads
    that wait beside the store.
    """

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
    bytes_read: int = 0
    downloads: int = 0
    bars_downloaded: int = 0
    seconds_downloading: float = 0.0
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
        onto: int | None = None,
        asked_at: datetime | None = None,
        also_covered: Sequence[TimeRange] = (),
    ) -> WriteResult:
        """Store bars; the same bars again change nothing.

        `data` is indexed by tz-aware bar starts (whole seconds, no duplicates; any order). New times are added to the
        current version; a time that is stored with other values makes a new version of the whole series. `covered` is
        the range that was asked for (default: from the first bar to the end of the last); with `replace`, `data` is
        all there is in that range, and stored bars that it lacks are removed (in a new version). `onto` is the
        version that the bars are meant for, for bars that must not be added to any other; a series that does not exist
        yet has none. `asked_at` (tz-aware; default: now) is when the source answered: what had not closed by then is
        not covered, and an empty answer is believed from then on. `also_covered` are further ranges that this very
        answer covers, where it leaves some out in between.
        Raises `InvalidBarsError` when the input is not usable, and `HistoryRestatedError` when `onto` is not the
        current version any more; nothing is stored then. `StoreBusyError` and `StoreWriteError` tell that the bars
        could not be written now; those that came with `covered` are kept for `merge_spooled` if that is possible.
        """

    @abstractmethod
    def merge_spooled(self) -> int:
        """Write the bars that could not be written when they were downloaded; return how many writes were made up for.

        Every write does so first. Whoever is about to download does so before looking at what is covered: what waits
        is covered only when it is written. Raises `StoreBusyError`, `StoreWriteError`; what is left then goes on
        waiting.
        """

    @abstractmethod
    def record_coverage(
        self, asset: AssetLike, covered: TimeRange, source: str, timeframe: str, *, adjustment: str = ""
    ) -> None:
        """Remember that a range was asked for and that the answer was empty. Believed for a limited time only."""

    @abstractmethod
    def renew_series(self, asset: AssetLike, source: str, timeframe: str, *, adjustment: str = "") -> None:
        """Begin a new version of a series, without bars and with nothing covered, since its source gives others now.

        The old version stays for pins and `as_of` until a compaction. A series that does not exist is left alone.
        """

    @abstractmethod
    def record_corporate_actions(
        self,
        asset: AssetLike,
        actions: Sequence[CorporateAction],
        source: str,
        kind: str = "split",
        *,
        restates: Sequence[str] = (),
        checked_at: datetime | None = None,
    ) -> bool:
        """Remember all actions of a kind that a source has for an asset, and when it was asked (default: now).

        If it gave another answer before, whatever the order, then all its series of that symbol's stock, and of options
        on it, whose adjustment is in `restates`, are renewed in the same transaction. Return whether it did.
        Raises `InvalidRecordError` and changes nothing when the input is not usable.
        """

    @abstractmethod
    def store_option_chain(
        self,
        underlying: AssetLike,
        chain: Mapping[str, Any],
        source: str,
        as_of: date,
        *,
        days_ahead: int | None = None,
    ) -> None:
        """Store the options on an underlying as of a date, in place of what was stored for the same date and bound.

        `days_ahead` bounds the expirations that the chain has (None: it has all). The chain comes back the same: whole
        numbers, floats to the bit, the order of keys.
        Raises `InvalidRecordError` and changes nothing when the input is not usable.
        """

    @abstractmethod
    def remember_migrated(self, path: str, fingerprint: str, rows: int, versions: Sequence[int]) -> None:
        """Remember that a file of an old cache is in the store: so many rows, the bars among them in these versions.

        `fingerprint` tells one state of the file from another.
        """

    @abstractmethod
    def is_outdated(self) -> bool:
        """Tell whether an older release made the store, so that nearly every call would bring it up to date first.

        Changes nothing itself, and `migrated_rows` does not either.
        """

    @abstractmethod
    def migrated_rows(self, path: str, fingerprint: str) -> int | None:
        """Return how many rows `remember_migrated` was told of a file in this state, if its bars are all there still.

        None for any other file, and when a version is not current any more: deleted, renewed or restated.
        """

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
    def ingests(self, pin: SeriesPin, within: Sequence[TimeRange] | None = None) -> tuple[IngestInfo, ...]:
        """Return the writes that brought the pinned bars (those in `within`), earliest first.

        A bar that a later version took over counts for the write that first brought it.
        """

    @abstractmethod
    def empty_answers(self, pin: SeriesPin) -> tuple[IngestInfo, ...]:
        """Return the writes to the pinned version that brought no bars, just what was covered, earliest first."""

    @abstractmethod
    def corporate_actions(self, asset: AssetLike, source: str, kind: str = "split") -> KnownActions | None:
        """Return the actions of a kind that a source last had for exactly this asset; None: it was never asked."""

    @abstractmethod
    def option_chain(
        self, underlying: AssetLike, source: str, earliest: date, latest: date, *, days_ahead: int | None = None
    ) -> OptionChain | None:
        """Return the newest chain of exactly this bound with `earliest <= as_of <= latest`, if there is one."""

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
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        as_of: datetime | None = None,
    ) -> SeriesPin:
        """Pin the current version of a series (or the one of `as_of`). Errors as `get_historical_prices`.

        A `SeriesKey` says it all: that very series, whatever the other arguments are.
        """

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
        self,
        asset: AssetLike | SeriesKey,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
        for_good: bool = False,
    ) -> list[TimeRange]:
        """Return the ranges of the current version that were asked for and answered, sorted and merged.

        `for_good` leaves out those of empty answers, which are believed for a limited time only.
        Of a series that does not exist, none. A `SeriesKey` says it all, so that nothing is ambiguous.
        Raises `AmbiguousSeriesError` for anything else that answers to several series.
        """

    @abstractmethod
    def missing_ranges(
        self,
        asset: AssetLike | SeriesKey,
        wanted: TimeRange,
        timeframe: str = "minute",
        source: str | None = None,
        *,
        adjustment: str | None = None,
    ) -> list[TimeRange]:
        """Return what of `wanted` is not covered; see `coverage`. An unknown series is missing all of it."""

    @abstractmethod
    def statistics(self) -> StoreStatistics:
        """Return the size and contents of the store, and what was done with it through this storage."""

    @abstractmethod
    def usage(self) -> StorageUse:
        """Return what was done through this storage so far, without a look at the store."""

    @abstractmethod
    def count_download(self, bars: int, seconds: float) -> None:
        """Count an answer of a source, and how long it was waited for, in `usage`."""

    @abstractmethod
    def count_also(self, name: str, numbers: Any) -> None:
        """Show a dataclass of numbers, which its owner goes on changing, in the details of `statistics`.

        Those of the same name are added up.
        """

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
