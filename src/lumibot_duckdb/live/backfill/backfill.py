"""Downloads missing ranges of recorded series in a thread, at start and after outages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from lumibot_duckdb import clock
from lumibot_duckdb.live.backfill.downloads import check_adjustment, download_missing
from lumibot_duckdb.live.closed import settled_before
from lumibot_duckdb.live.covered_time import trading_gaps
from lumibot_duckdb.live.recorded import recorded_series
from lumibot_duckdb.live.rest_bars import PROVIDERS, RestBars
from lumibot_duckdb.sources.shared.errors import InvalidKeyError, ProviderError
from lumibot_duckdb.sources.shared.rate_limit import StoppedError
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import end_of_closed_bars
from lumibot_duckdb.storage.errors import HistoryRestatedError, StorageError
from lumibot_duckdb.storage.times import NEW_YORK, date_of, midnight

logger = logging.getLogger(__name__)

DAYS = 5
EVERY_SECONDS = 900.0
SHARE = 0.25
"""The part of a provider's rate limit that the backfill uses. The strategy has the rest."""

_LATELY = timedelta(days=14)
_LATEST_SECONDS = 16 * 60
"""What is newer is not requested: Alpaca's free plan refuses every range that reaches into the last 15 minutes."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class BackfillCounts:
    """What a backfill did: rounds that ended, bars that were downloaded, and downloads that failed."""

    rounds: int = 0
    bars: int = 0
    failed: int = 0


class Backfill:
    """Keeps recorded series complete: the trading time of the last days that was not recorded is downloaded.

    It looks for missing ranges at the start, every quarter of an hour, and when `wake` is called. Series that were
    recorded live within the last two weeks count. The newest day is first. The backfill has its own connections, sends
    one request at a time, and uses a quarter of the rate limit. Errors are logged once for each cause, and never leave
    its thread.

    Parameters:
        storage: opens the store; called in the thread.
        rest: asks the providers; by default with the credentials in the environment.
        days: how many days back missing ranges are downloaded, today included.
        every_seconds: the pause between two rounds.

    Raises:
        ValueError: there is not at least one day.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        rest: RestBars | None = None,
        *,
        days: int = DAYS,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        if days < 1:
            raise ValueError(f"a backfill covers one day or more, not {days}")
        self._storage = storage
        self._rest = rest or RestBars(share=SHARE)
        self._days = days
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reported: set[tuple[str, str]] = set()
        self._adjustment_checked: dict[SeriesKey, date] = {}
        self._thread: threading.Thread | None = None
        self.counts = BackfillCounts()

    def start(self) -> None:
        """Start the thread. Does nothing if it was started before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lumibot-duckdb-backfill", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look for missing ranges now, for example because a connection is back."""
        self._wake.set()

    def close(self, timeout: float = 5.0) -> bool:
        """Stop after the current response; return whether the thread has ended within `timeout` seconds.

        It does not wait for a repeated request of an exchange.
        """
        self._stop.set()
        self._rest.stop()
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- rounds ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        storage: DataStorageInterface | None = None
        while not self._stop.is_set():
            self._wake.clear()
            try:
                storage = storage or self._storage()
                with suppress(StoppedError):
                    self.round(storage)
            except StorageError as error:
                self._report("the store", error)
            except Exception:
                logger.exception("the backfill failed, and tries again later")
            self._wake.wait(self._every_seconds)

    def round(self, storage: DataStorageInterface) -> None:
        """Download what is missing now, the newest day first.

        Raises:
            StorageError: the store cannot be used.
            StoppedError: the backfill was closed.
        """
        storage.merge_spooled()  # what was recorded, but could not be written yet, is not missing
        series = [each.info.key for each in recorded_series(storage, clock.utc_now() - _LATELY, PROVIDERS)]
        refused: set[str] = set()
        for key in series:
            self._attempt(key, refused, partial(self._check_adjustment, storage, key))
        for day in self._days_back():
            for key in series:
                for gap in self._gaps(storage, key, day):
                    self._attempt(key, refused, partial(self._download, storage, key, gap))
        self._count(rounds=1)

    def _attempt(self, key: SeriesKey, refused: set[str], work: Callable[[], None]) -> None:
        """Do something with a provider, unless it refused the key in this round."""
        if self._stop.is_set():
            raise StoppedError
        place = key.asset.exchange or key.source
        if place in refused:
            return
        try:
            work()
        except InvalidKeyError as error:
            refused.add(place)
            self._report(place, error)
        except (ProviderError, HistoryRestatedError, ValueError) as error:
            self._count(failed=1)
            self._report(key.label(), error)

    def _download(self, storage: DataStorageInterface, key: SeriesKey, gap: TimeRange) -> None:
        download_missing(storage, self._rest, key, gap, self._stop, lambda bars: self._count(bars=bars))

    def _check_adjustment(self, storage: DataStorageInterface, key: SeriesKey) -> None:
        """Check once a day whether a series is adjusted as its source adjusts it now."""
        today = date_of(clock.epoch_now(), NEW_YORK)
        if self._adjustment_checked.get(key) != today:
            check_adjustment(storage, self._rest, key)
            self._adjustment_checked[key] = today

    def _gaps(self, storage: DataStorageInterface, key: SeriesKey, day: date) -> list[TimeRange]:
        """Return the trading time of a day in New York that is settled and not covered."""
        begin = midnight(day, NEW_YORK)
        latest = end_of_closed_bars(key.timeframe, clock.epoch_now() - _LATEST_SECONDS)
        end = min(midnight(day + _DAY, NEW_YORK), settled_before(key.timeframe), latest)
        if end <= begin:
            return []
        return trading_gaps(key, TimeRange(begin, end), storage.coverage(key))

    def _days_back(self) -> Iterator[date]:
        today = date_of(clock.epoch_now(), NEW_YORK)
        yield from (today - number * _DAY for number in range(self._days))

    # -- reporting -------------------------------------------------------------------------------------------

    def _count(self, *, rounds: int = 0, bars: int = 0, failed: int = 0) -> None:
        now = self.counts  # only the backfill's thread counts
        self.counts = BackfillCounts(now.rounds + rounds, now.bars + bars, now.failed + failed)

    def _report(self, what: str, error: Exception) -> None:
        """Log an error, once for each cause."""
        cause = (what, type(error).__name__)
        if cause not in self._reported:
            self._reported.add(cause)
            logger.warning("what was not recorded of %s could not be downloaded yet: %s", what, error)
