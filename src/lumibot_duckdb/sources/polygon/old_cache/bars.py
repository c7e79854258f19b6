"""Bars from Lumibot's Polygon cache, as our Polygon source would have stored them from the same responses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from lumibot_duckdb.sources.polygon.client import day_range
from lumibot_duckdb.sources.polygon.metadata import (
    ADJUSTED_AS_OF,
    SPLIT_ADJUSTED,
    TICKER,
    WHOLE_NUMBERS,
    whole_numbers,
)
from lumibot_duckdb.sources.polygon.old_cache.chains import listed_options
from lumibot_duckdb.sources.polygon.old_cache.days import Answer, TradingDays, answers, incomplete_days
from lumibot_duckdb.sources.polygon.old_cache.frames import CachedRows, cached_rows
from lumibot_duckdb.sources.polygon.old_cache.names import SPLITS, BarsName, bars_name
from lumibot_duckdb.sources.polygon.old_cache.splits import (
    CachedSplits,
    Snapshot,
    read_snapshot,
    refuse_jumps,
    refuse_later_splits,
)
from lumibot_duckdb.sources.shared.evidence import extent
from lumibot_duckdb.sources.shared.old_cache.contents import CacheContent, CachedBars, LeftOut
from lumibot_duckdb.sources.shared.old_cache.errors import LeftAloneError
from lumibot_duckdb.sources.shared.old_cache.file_ages import changed_at
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from lumibot_duckdb.sources.shared.old_cache.table_file import read_table, table_files
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.times import bar_starts

_ZONES = {"crypto": "UTC", "forex": "UTC"}
_ZONE_TICKERS = {"crypto": "X:", "forex": "C:"}
_NEW_YORK = "America/New_York"
_MINUTE = 60


class PolygonBarsReader(CacheReader):
    """Reads `polygon/*.parquet`, and the `.feather` files of Lumibot before release 4.0."""

    name: ClassVar[str] = "Polygon bars"
    contract: ClassVar[str] = "polygon_cache"

    def __init__(self, folder: Path, assets: Iterable[AssetKey] = ()) -> None:
        super().__init__(folder, assets)
        self._listed: tuple[str, set[tuple[date, float, str]]] | None = None

    def files(self) -> Sequence[Path]:
        """Return the files of bars, latest check for splits first, so that older bars do not block newer ones."""
        found = [path for path in table_files(self.folder / "polygon") if not path.stem.endswith(SPLITS)]
        return sorted(found, key=lambda path: (-_checked(path), path.suffix != ".parquet", path.name))

    def companions(self, path: Path) -> Sequence[Path]:
        """Return the snapshot of splits, if there is one."""
        snapshot = _snapshot_of(path)
        return (snapshot,) if snapshot.is_file() else ()

    def read(self, path: Path) -> Sequence[CacheContent]:
        """Return the bars of a file, the splits that they are adjusted for, and the days without a bar."""
        file = bars_name(path.stem)
        downloaded = _modified(path)
        snapshot = self._snapshot(path) if file.key.adjustment == SPLIT_ADJUSTED else None
        if snapshot is not None:
            refuse_later_splits(snapshot, downloaded.astimezone().date())
        rows = cached_rows(read_table(path))
        if file.key.asset.asset_type == "stock" and (snapshot is not None or path.suffix == ".feather"):
            # Lumibot writes a snapshot before it adds to a Parquet file, but added to Feather files without one.
            refuse_jumps(rows.bars.tz_convert(_NEW_YORK), snapshot)
        if file.key.asset.asset_type == "option" and not len(rows.bars) and not self._is_listed(file.key.asset):
            raise LeftAloneError(
                "it has no bars, because the option was not traded or does not exist; a backtest on the store requests "
                "from Polygon which of the two is true"
            )
        contents = list(_contents(file, rows, snapshot, downloaded))
        return [*_splits(file, snapshot, downloaded, contents), *contents]

    def _is_listed(self, option: AssetKey) -> bool:
        """Return whether a chain in the cache has an option."""
        if self._listed is None or self._listed[0] != option.symbol:
            self._listed = option.symbol, listed_options(self.folder, option.symbol)
        return (option.expiration, option.strike, option.right) in self._listed[1]

    def _snapshot(self, path: Path) -> Snapshot | None:
        return next((read_snapshot(each, _modified(each)) for each in self.companions(path)), None)


def _snapshot_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}{SPLITS}{path.suffix}")


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)


def _checked(path: Path) -> int:
    return changed_at(_snapshot_of(path))


def _splits(
    file: BarsName, snapshot: Snapshot | None, downloaded: datetime, contents: Sequence[CacheContent]
) -> Iterator[CacheContent]:
    if file.key.adjustment == SPLIT_ADJUSTED:
        bars = [content for content in contents if isinstance(content, CachedBars) and content.rows]
        yield CachedSplits(AssetKey(file.key.asset.symbol), snapshot, downloaded.astimezone().date(), bars)


def _contents(
    file: BarsName, rows: CachedRows, snapshot: Snapshot | None, downloaded: datetime
) -> Iterator[CacheContent]:
    """Yield the bars and empty days of a file. Raises `LeftAloneError` if no day of it was complete."""
    asset_type = file.key.asset.asset_type
    trading = TradingDays(asset_type)
    bars = rows.bars.tz_convert(_ZONES.get(asset_type, _NEW_YORK))
    days = set(bars.index.date)
    # The day of the download was not over, even if it has bars.
    today = downloaded.astimezone(bars.index.tz).date()
    open_days = {day for day in days if day >= today} | incomplete_days(bars.index, file.key.timeframe, trading)
    empty_days = {day for day in rows.empty_days - days if day < today}
    found = answers(days - open_days, empty_days, trading, often_empty=asset_type == "option")
    if not found:
        raise LeftAloneError(f"none of its days was over when it was downloaded ({downloaded:%Y-%m-%d %H:%M} UTC)")
    for answer in found:
        yield from _answered(file, rows, answer, snapshot, downloaded)
    if open_days:
        listed = ", ".join(map(str, sorted(open_days)[:3])) + (", ..." if len(open_days) > 3 else "")
        yield LeftOut(f"the bars of {listed}, downloaded before the end of the day")
    if rows.unknown:
        yield LeftOut(f"its columns {', '.join(rows.unknown)}, which Polygon does not send")


def _answered(
    file: BarsName, rows: CachedRows, answer: Answer, snapshot: Snapshot | None, downloaded: datetime
) -> Iterator[CachedBars]:
    """Yield the bars of one answer in stretches with the same dtypes, or an empty frame for an empty answer."""
    within = TimeRange(*day_range(_ZONE_TICKERS.get(file.key.asset.asset_type, ""), answer.days))
    seconds = pd.DatetimeIndex(rows.bars.index).as_unit("s").asi8
    bars = rows.bars[(seconds >= within.start) & (seconds < within.end)]
    metadata: dict[str, Any] = {} if file.ticker is None else {TICKER: file.ticker}
    if not len(bars):
        nothing = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
        yield CachedBars(file.key, nothing, [within], downloaded, metadata | {WHOLE_NUMBERS: []})
        return
    if file.key.adjustment == SPLIT_ADJUSTED and snapshot is None:
        metadata[ADJUSTED_AS_OF] = downloaded.astimezone().date().isoformat()
    stretches = list(rows.stretches(bars))
    bounds = [within.start, *(_month_of(each) for each in stretches[1:]), within.end]
    displaced = _displaced(file, rows)
    proven = [whole] if (whole := extent(bar_starts(bars), file.key.timeframe)) is not None else []
    for stretch, start, end in zip(stretches, bounds[:-1], bounds[1:], strict=True):
        covered = coverage.missing(TimeRange(start, end), displaced)
        numbers = {WHOLE_NUMBERS: whole_numbers(stretch)}
        yield CachedBars(file.key, stretch, covered, downloaded, metadata | numbers, proven)


def _displaced(file: BarsName, rows: CachedRows) -> list[TimeRange]:
    """Return the minutes whose bars may be replaced by a row that marks a day, for assets that trade at night."""
    if file.key.asset.asset_type not in _ZONES or file.key.timeframe != "minute":
        return []
    return [TimeRange(int(at), int(at) + _MINUTE) for at in rows.marks.as_unit("s").asi8]


def _month_of(bars: pd.DataFrame) -> int:
    """Return the start of the month of the first bar."""
    return int(bars.index[0].to_numpy().astype("M8[M]").astype("M8[s]").astype(np.int64))
