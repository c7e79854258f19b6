"""The values that the storage takes and returns.

Times are UTC. A bar is stamped at its start. Ranges are half-open, in epoch seconds (whole seconds since
1970-01-01T00:00Z, negative before).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from datetime import date, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from lumibot_duckdb.storage.times import EpochSeconds, calendar_day

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl


@runtime_checkable
class LumibotAsset(Protocol):
    """The part of `lumibot.entities.Asset` that identifies an asset. The storage does not import Lumibot."""

    symbol: str
    asset_type: Any


OnRows: TypeAlias = "Callable[[int, int], None]"
"""Receives how many rows of how many are done. It is called with increasing numbers, the last time with all rows."""


class ArrowTable(Protocol):
    """What offers its columns to Arrow: pyarrow tables and record batches, polars frames, DuckDB relations, ..."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Return the columns as an Arrow C stream."""


BarFrame: TypeAlias = "pd.DataFrame | pl.DataFrame | pl.LazyFrame | ArrowTable"
"""Bars that come in: a pandas frame that is indexed by bar starts, or a table with a column of them."""

OnBytes: TypeAlias = "Callable[[int, int], None]"
"""Receives how many bytes of how many are done, as `OnRows` does rows."""

AssetLike: TypeAlias = "AssetKey | LumibotAsset | tuple[Any, Any] | str"

AsOf: TypeAlias = "datetime | str"
"""A moment (tz-aware; as a text, New York's unless it has a zone), or the name of a snapshot."""


@dataclass(frozen=True, slots=True)
class AssetKey:
    """The identity of an asset. Two keys that differ in any field are different assets.

    Attributes:
        symbol: The symbol, as in "AAPL"; for a pair, that of the base ("BTC").
        asset_type: Lumibot's name of the type: "stock", "option", "crypto", "forex", "future", "index", ...
        quote: The symbol of the quote asset for what trades in pairs ("USD", "USDT"), else None.
        exchange: The exchange, or "" if it does not matter.
        expiration: The expiration date of a derivative.
        strike: The strike price of an option, in its currency.
        right: "CALL" or "PUT".
        multiplier: The contract's price multiplier. Default: 100 for options, else 1.
        auto_expiry: The rule by which Lumibot rolls a future without an expiration ("front_month", ...).

    Example:
        >>> from datetime import date
        >>> AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470, right="CALL").label()
        'SPY 2024-01-19 470 CALL option'
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
        """Return a name for people, e.g. `BTC/USD crypto` or `SPY 2024-01-19 470 CALL option`."""
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

    Attributes:
        asset: The asset.
        source: The source's name in lower case ("polygon", "yahoo", "my_csv").
        timeframe: The canonical timeframe: "minute", "5minute", "hour", "day", ...
        adjustment: The source's word for the adjustment: "split", "all", ...; "" for unadjusted bars.
    """

    asset: AssetKey
    source: str
    timeframe: str
    adjustment: str = ""

    def label(self) -> str:
        """Return a name for people, e.g. `AAPL stock, minute bars from polygon`."""
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
    """One column of a series: its name and pandas dtype in the stored frames, and whether values are missing.

    `mixed` is true if some writes brought integers and others floating-point numbers.
    """

    name: str
    dtype: str
    has_nulls: bool = False
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class SeriesPin:
    """One version of a series as it was at some moment. Reads through a pin always return the same bars.

    Bars of `version_id` that a later ingest than `ingest_id` brought are invisible. `ingested_at` is when that ingest
    was (naive UTC), which shows whether a store that was restored from a backup still has it.
    """

    key: SeriesKey
    series_id: int
    version_id: int
    ingest_id: int
    ingested_at: datetime | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What is known about a pinned series without reading its bars.

    `index_unit` is the resolution of the stored time index ("ns", "us", "ms" or "s"). `on_minute` is true if every bar
    starts on a whole minute. `first` and `last` are the starts of the first and last bar (None: no bars).
    """

    columns: tuple[ColumnSpec, ...]
    index_unit: str
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    on_minute: bool


@dataclass(frozen=True, slots=True)
class BarArrays:
    """Bars as NumPy arrays: `times` in epoch seconds (int64, increasing) and one array per column, with its dtype."""

    times: np.ndarray[Any, np.dtype[np.int64]]
    columns: Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write did.

    Attributes:
        key: The series.
        ingest_id: The id of the write among all writes to the store; it is that of its `IngestInfo`. None if nothing
            was written, because the store had every bar and covered every range already.
        added, changed, removed, unchanged: Numbers of bars.
        new_version: Whether stored bars were changed or removed, which begins a new version of the series.
        version_id: The current version after the write; None if there is no such series.
        spooled: How many bars wait beside the store, because it was held; the other numbers are 0 then.
    """

    key: SeriesKey
    ingest_id: int | None
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    new_version: bool = False
    version_id: int | None = None
    spooled: int = 0


@dataclass(frozen=True, slots=True)
class BatchWrite:
    """Bars of one series in a batch, and what they cover.

    Attributes:
        key: The series.
        bars: A frame as `store_ohlcv_data` takes it.
        covered: The ranges that the source's responses cover; none if `bars` cover nothing.
        asked_at: When the source was queried (tz-aware), the first time if these are several responses.
        closed_at: Bars that had not closed by then are not covered (tz-aware; None: by `asked_at`).
        provisional: The parts of `covered` that no response proves; see `store_ohlcv_data`.
        replace: `bars` is all there is in `covered`, which is one range then: other stored bars in it are removed.
        metadata: Anything that JSON can express, kept with this write.
    """

    key: SeriesKey
    bars: BarFrame
    covered: tuple[TimeRange, ...]
    asked_at: datetime
    closed_at: datetime | None = None
    provisional: tuple[TimeRange, ...] = ()
    replace: bool = False
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one write of a batch.

    Attributes:
        result: What it did; None if it was refused, or could be neither stored nor spooled.
        error: Why it was not stored at once; None if it was.
    """

    result: WriteResult | None
    error: Exception | None = None

    @property
    def is_stored(self) -> bool:
        """Whether it is in the store."""
        return self.error is None

    @property
    def is_spooled(self) -> bool:
        """Whether it waits beside the store for the next write."""
        return self.error is not None and self.result is not None


@dataclass(frozen=True, slots=True)
class IngestInfo:
    """One write to a series.

    Attributes:
        ingest_id: The id of the write. Later writes have larger ids.
        ingested_at: The time of the write (UTC).
        kind: "bars" if bars were stored, "coverage" if only coverage was recorded, "renewal" if the series was
            restated, "repair" if damage was repaired or a repair undone, "prune" if old bars were removed, "rename",
            "merge", or "delete".
        metadata: What was passed with the write.
    """

    ingest_id: int
    ingested_at: datetime
    kind: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (`split_to` new shares for `split_from` old ones) or a dividend (`amount` per share, in its currency).

    A datetime is taken as its date, an integer as a float. Raises ValueError for anything else.

    Example:
        >>> CorporateAction(date(2020, 8, 31), split_from=1, split_to=4).split_to
        4.0
    """

    ex_date: date
    split_from: float | None = None
    split_to: float | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.ex_date, date):
            raise ValueError(f"the ex-date {self.ex_date!r} is not a date")
        if isinstance(self.ex_date, datetime):
            object.__setattr__(self, "ex_date", calendar_day(self.ex_date))
        for name in ("split_from", "split_to", "amount"):
            number = getattr(self, name)
            if number is None:
                continue
            object.__setattr__(self, name, float(number))
            if not isfinite(getattr(self, name)):
                raise ValueError(
                    f"{name} of the corporate action of {self.ex_date} is {number!r}, which is not a finite number"
                )


@dataclass(frozen=True, slots=True)
class KnownActions:
    """All actions of a kind that a source had when it was last queried (`checked_at`, UTC), sorted by ex-date."""

    checked_at: datetime
    actions: tuple[CorporateAction, ...]


@dataclass(frozen=True, slots=True)
class OptionChain:
    """The options on an underlying as of a date, with expirations up to `days_ahead` days later (None: all).

    `listed_at` is when the source listed them (UTC).
    `chain` equals what was stored, such as `{"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19":
    [465.0, 470.0]}, "PUT": {}}}`. The caller may change it.
    """

    underlying: AssetKey
    source: str
    as_of: date
    days_ahead: int | None
    chain: dict[str, Any]
    listed_at: datetime


@dataclass(frozen=True, slots=True)
class LabelChange:
    """The values of a label that an asset had before, and those that it has now, both sorted. () is none."""

    asset: AssetKey
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What setting or removing labels did, or would do.

    Attributes:
        changes: The labels that have other values now.
        unchanged: How many labels had these values before.
        skipped: The unknown assets that were left out.
        dry_run: Whether nothing was changed.
    """

    changes: tuple[LabelChange, ...]
    unchanged: int = 0
    skipped: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ProvisionalRange:
    """A range that is covered until `expires` (UTC), since no response has proven it."""

    within: TimeRange
    expires: datetime


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """One series in a listing: its key, its current version, and what of it is stored and covered.

    `coverage` has all covered ranges, `provisional` the parts of them that expire.
    """

    key: SeriesKey
    series_id: int
    version_id: int
    rows: int
    first: EpochSeconds | None
    last: EpochSeconds | None
    coverage: tuple[TimeRange, ...] = ()
    provisional: tuple[ProvisionalRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A name for the state of all series after the write `last_ingest`, given at `created_at` (UTC)."""

    name: str
    last_ingest: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StorageUse:
    """What was done with a storage so far.

    `seconds` is the time that reads, look-ups and writes took, waits for other processes included, summed over
    threads. `downloads` counts responses of sources that were stored, and `seconds_downloading` is the wait for them.
    """

    reads: int = 0
    rows_read: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    downloads: int = 0
    bars_downloaded: int = 0
    seconds_downloading: float = 0.0

    def since(self, before: StorageUse) -> StorageUse:
        """Return the difference to an earlier count."""
        return StorageUse(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Size and contents of a store, and what was done with it through this storage; see `StorageUse`.

    `details` has further counts: "windows", what the windows of backtests on this storage did; "spooled", downloads
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
