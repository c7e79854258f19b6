"""One series of a provider during one backtest: pinned at the first touch, and completed by downloads.

The backtest sees the version of history that was current at its first touch, what other processes add to that version,
and its own downloads. If the history is restated in the meantime, the backtest continues on the old version until it
needs more of it; a download for a version that is no longer current is refused (`HistoryRestatedError`), never mixed
in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb import clock
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.evidence import Evidence, Proof
from lumibot_duckdb.sources.shared.open_bars import OpenBars
from lumibot_duckdb.sources.shared.reading_moment import reading_moment
from lumibot_duckdb.sources.shared.snapshot_gaps import gaps, warn_of_gaps
from lumibot_duckdb.sources.shared.trading_hours import TradingHours, hours_of
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface, EpochSeconds, SeriesKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import coverage
from lumibot_duckdb.storage.errors import HistoryRestatedError, SeriesNotFoundError
from lumibot_duckdb.storage.timeframes import bar_seconds
from lumibot_duckdb.storage.times import SECONDS_PER_DAY, bar_starts, epoch_seconds
from lumibot_duckdb.windows.ranges_view import Additions, RangesView
from lumibot_duckdb.windows.series_view import SeriesView, StoredView

logger = logging.getLogger(__name__)

ALWAYS = TimeRange(-(2**62), 2**62)


@dataclass(frozen=True)
class Delivery:
    """All bars of a provider within a range, as a frame that the storage accepts.

    With `replace`, they replace the stored bars of the range, in a new version if they differ. If the provider keeps no
    bars from before a time, that is `kept_since`.
    """

    within: TimeRange
    bars: pd.DataFrame
    metadata: Mapping[str, Any]
    replace: bool = False
    kept_since: EpochSeconds | None = None


Download: TypeAlias = Callable[[list[TimeRange]], Iterable[Delivery]]


class DownloadedSeries:
    """A series as one backtest sees it. With `as_of` it is read as it was at that moment, and nothing is downloaded.

    If the whole process reads as of a moment (see `reading_moment`), what is missing is downloaded.

    Parameters:
        storage: the store.
        key: the series.
        as_of: the moment (tz-aware), or the name of a snapshot.
        hours: when the market is open; by default, as usual for the type of the asset.
        trusts_provisional: whether ranges that no response proves are downloaded again only after they have expired.
    """

    def __init__(
        self,
        storage: DataStorageInterface,
        key: SeriesKey,
        *,
        as_of: AsOf | None = None,
        hours: TradingHours | None = None,
        trusts_provisional: bool = True,
    ) -> None:
        self.key = key
        self.pin: SeriesPin | None = None
        self._open_bars = OpenBars(storage)
        self._storage = storage
        self._as_of = as_of
        self._hours = hours_of(key.asset) if hours is None else hours
        self._trusts_provisional = trusts_provisional
        self._covered: list[TimeRange] = []
        self._gaps_reported = False
        self._pin_first()

    @property
    def storage(self) -> DataStorageInterface:
        """The storage that the series is in."""
        return self._storage

    @property
    def open_bars(self) -> pd.DataFrame:
        """The bars that had not closed when they were downloaded, without those that the pinned version has by now."""
        return self._open_bars.not_in(self.pin)

    def open_bars_in(self, within: TimeRange) -> pd.DataFrame:
        """Return the open bars that start in a range."""
        open_bars = self.open_bars
        if not len(open_bars):
            return open_bars
        starts = bar_starts(open_bars)
        inside: pd.DataFrame = open_bars[(starts >= within.start) & (starts < within.end)]
        return inside

    def view(self, within: TimeRange = ALWAYS) -> SeriesView | None:
        """Return the bars that start in a range, stored and open ones; None if there is no version of the series."""
        if self.pin is None:
            return None
        open_bars = self.open_bars_in(within)
        if within == ALWAYS and not len(open_bars):
            return StoredView(self._storage, self.pin)
        outline = self._storage.outline(self.pin)
        return RangesView(self._storage, self.pin, [within], Additions(rows=open_bars), outline)

    def _pin_first(self) -> None:
        """Pin what the backtest begins with: the state of the moment as of which this process reads, or the current."""
        moment = None if self._as_of is not None else reading_moment()
        if moment is not None:
            self._covered = [TimeRange(epoch_seconds(moment), ALWAYS.end)]
            try:
                self._pin_as_of(moment)
                return
            except SeriesNotFoundError:
                pass  # it was first downloaded since then
        self._pin_current()

    def _pin_as_of(self, moment: datetime) -> None:
        self.pin = self._storage.pin(self.key, as_of=moment)
        known = self._storage.coverage(self.key, as_of=moment)
        until = max((piece.end for piece in known), default=0)
        if epoch_seconds(moment) - until <= SECONDS_PER_DAY + bar_seconds(self.key.timeframe):
            known = [*known, TimeRange(until, ALWAYS.end)]  # its last bar had not closed, or came after the request
        self._covered = coverage.merged([*self._covered, *known])

    def _pin_current(self) -> None:
        """Pin the current state of the series, unless its version differs from the one that was pinned before."""
        try:
            now = self._storage.pin(self.key, as_of=self._as_of)
        except SeriesNotFoundError:
            return
        if self.pin is None or self.pin.version_id == now.version_id:
            self.pin = now
            # What expires in the meantime, or is forgotten, stays covered for this backtest.
            known = self._storage.coverage(self.key, permanent_only=not self._trusts_provisional)
            self._covered = [ALWAYS] if self._as_of is not None else coverage.merged([*self._covered, *known])

    def missing(self, wanted: TimeRange) -> list[TimeRange]:
        """Return the parts of a range that would have to be downloaded."""
        self.report_gaps(wanted)
        return [] if self._as_of is not None else coverage.missing(wanted, self._covered)

    def report_gaps(self, wanted: TimeRange) -> None:
        """If the store is a published snapshot, which takes no downloads, log once what it lacks of a range."""
        if self._gaps_reported or self._as_of is None or self._storage.published_as_of is None:
            return
        missing = gaps(self._storage, self.key, self.pin, self._hours, wanted)
        if missing:
            self._gaps_reported = True
            warn_of_gaps(self.key, missing)

    def ensure(self, wanted: TimeRange, download: Download) -> None:
        """Make sure that all bars of a range are in the store; `download` is called for the missing parts.

        Each delivery is stored when it arrives, so an interrupted download resumes where it stopped. If only ranges
        that were answered before cannot be requested again, this is logged, and the backtest uses the earlier answers.
        Raises what `download` raises, `HistoryRestatedError`, `StoreBusyError`, `StoreWriteError`.
        """
        self.report_gaps(wanted)
        missing = coverage.missing(wanted, self._covered)
        if missing and self._as_of is None:
            self._storage.merge_spooled()  # an earlier download may be in the spool
            self._pin_current()
            missing = coverage.missing(wanted, self._covered)
        if not missing or self._as_of is not None:
            return
        try:
            self._store_all(missing, download)
        except ProviderError as error:
            answered = [*self._covered, *self._answered_before()]
            if any(coverage.missing(piece, answered) for piece in missing):
                raise
            logger.warning(
                "%s: ranges without bars have expired, and could not be requested again (%s). This backtest uses what "
                "the source had before",
                self.key.label(),
                error,
            )
        self._covered = coverage.merged([*self._covered, *missing])

    def _answered_before(self) -> list[TimeRange]:
        """Return the ranges that the pinned version was ever requested for; none if it is not the current one."""
        if self.pin is None or self._storage.pin(self.key).version_id != self.pin.version_id:
            return []
        return self._storage.coverage(self.key, include_expired=True)

    def refresh(self, wanted: TimeRange, download: Download) -> None:
        """Download a range again, and replace stored bars that differ, in a new version.

        If the range was covered, the backtest sees the new version from then on. Raises as `ensure` does.
        """
        if self._as_of is not None:
            return
        if reading_moment() is not None:
            self.ensure(wanted, download)
            return
        self._store_all([wanted], download, replaces=True)
        self._covered = coverage.merged([*self._covered, wanted])

    def _arriving(self, deliveries: Iterable[Delivery]) -> Generator[Delivery, None, None]:
        """Yield deliveries as they arrive, and count them."""
        waiting_since = time.perf_counter()
        try:
            for delivery in deliveries:
                self._storage.counters.count_download(len(delivery.bars), time.perf_counter() - waiting_since)
                yield delivery
                waiting_since = time.perf_counter()
        finally:
            if isinstance(deliveries, Generator):
                deliveries.close()  # its requests, and its progress bar, end before an error is shown

    def _store_all(self, ranges: list[TimeRange], download: Download, *, replaces: bool = False) -> None:
        """Download ranges, and store each delivery with what it proves."""
        asked_at = clock.utc_now()  # a bar that closes after this may be incomplete in the response
        evidence = Evidence(self._hours, self.key.timeframe)
        with closing(self._arriving(download(ranges))) as arriving:
            for delivery in arriving:
                starts = bar_starts(delivery.bars)
                proof = evidence.add(delivery.within, starts, kept_since=delivery.kept_since)
                self._store(replace(delivery, replace=True) if replaces else delivery, proof, asked_at)

    def _store(self, delivery: Delivery, proof: Proof, asked_at: datetime) -> None:
        closed, still_open = _closed_and_open(delivery.bars, bar_seconds(self.key.timeframe), asked_at)
        result = self._storage.store_ohlcv_data(
            self.key.asset,
            closed,
            self.key.source,
            self.key.timeframe,
            adjustment=self.key.adjustment,
            covered=delivery.within,
            replace=delivery.replace,
            metadata=delivery.metadata,
            onto=None if self.pin is None else self.pin.version_id,
            asked_at=asked_at,
            also_covered=proof.proven_before,
            provisional=proof.provisional,
        )
        if result.version_id is not None:
            self._pin_written(result.version_id)
        self._open_bars.add(still_open, delivery.within)

    def _pin_written(self, version_id: int) -> None:
        """Pin the version that was just written. Raises `HistoryRestatedError` if another process restated it since."""
        now = self._storage.pin(self.key)
        if now.version_id != version_id:
            raise HistoryRestatedError(
                f"the history of {self.key.label()} was restated while its bars were downloaded (a split, a correction "
                "or a deletion). They do not fit the current version. Run the backtest again"
            )
        self.pin = now


def _closed_and_open(bars: pd.DataFrame, length: int, asked_at: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split bars into those that had closed when they were requested and those that had not."""
    starts = bar_starts(bars)
    closed = starts + length <= epoch_seconds(asked_at)
    return (bars, bars.iloc[:0]) if bool(np.all(closed)) else (bars[closed], bars[~closed])
