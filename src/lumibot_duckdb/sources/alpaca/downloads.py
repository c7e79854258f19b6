"""Downloads of a backtest on Alpaca: the stored series that it has pinned, and what the store lacks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from lumibot.entities import Asset

from lumibot_duckdb import clock
from lumibot_duckdb.lumibot_contract.alpaca_bar_check import are_plausible
from lumibot_duckdb.sources.alpaca.actions import AdjustedHistory
from lumibot_duckdb.sources.alpaca.client import AlpacaProvider
from lumibot_duckdb.sources.alpaca.frames import RequestedBars
from lumibot_duckdb.sources.provider import BarRequest
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import DownloadIncompleteError, ProviderError
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface, SeriesKey, TimeRange

_LONGEST_DAY = 25 * 3600


class AlpacaDownloads:
    """Stores what is missing of a series when a frame needs it.

    Parameters:
        storage: opens the store at first use.
        provider: connects to Alpaca at first use.
        as_of: reads history as it was then, and downloads nothing.
    """

    def __init__(
        self,
        storage: Callable[[], DataStorageInterface],
        provider: Callable[[], AlpacaProvider],
        as_of: AsOf | None,
    ) -> None:
        self._storage = storage
        self._provider = provider
        self._as_of = as_of
        self._history = AdjustedHistory(storage, provider)
        self.series: dict[SeriesKey, DownloadedSeries] = {}

    def ensure(
        self,
        key: SeriesKey,
        asset: Asset,
        requested: RequestedBars,
        shown: Callable[[], list[TimeRange]],
        *,
        name: str,
        may_be_empty: bool,
        refresh: bool,
    ) -> DownloadedSeries:
        """Return a series, with all bars of a range in the store, or at least all that will be `shown`.

        The others are downloaded along with those, and, unless it `may_be_empty`, when there is no bar at all: a window
        of minutes or days without a bar has the price of the next one.

        Parameters:
            name: what Lumibot calls the frame, for errors.
            refresh: download the range again even if it is stored.
        """
        known = self.series.get(key)
        series = known or DownloadedSeries(self._storage(), key, as_of=self._as_of)
        refresh = refresh and self._as_of is None
        if not refresh and self._is_enough(series, requested.within, shown, may_be_empty=may_be_empty):
            self.series[key] = series
            return series
        if key.adjustment and (refresh or series.missing(requested.within)):
            others = any(other.asset == key.asset for other in self.series)
            self._history.check(asset.symbol, key.adjustment, read_before=known is not None or others)
            if known is None:
                series = DownloadedSeries(self._storage(), key, as_of=self._as_of)
        self.series[key] = series

        def download(pieces: list[TimeRange]) -> Iterator[Delivery]:
            return self._download(key, asset, requested, pieces, name)

        try:
            (series.refresh if refresh else series.ensure)(requested.within, download)
        except DownloadIncompleteError as error:
            if all(type(cause) is ProviderError for cause in error.failed.values()):  # Alpaca rejected the request
                raise RuntimeError(f"Failed to fetch data for {name}: {error}") from None
            raise
        return series

    def has_bars(self, series: DownloadedSeries, within: TimeRange) -> bool:
        """Return whether there is a bar in a range, in the store or not closed yet."""
        if len(series.open_bars_in(within)):
            return True
        if series.pin is None:
            return False
        last = series.storage.last_time_at_or_before(series.pin, within.end - 1)
        return last is not None and last >= within.start

    def _is_enough(
        self, series: DownloadedSeries, within: TimeRange, shown: Callable[[], list[TimeRange]], *, may_be_empty: bool
    ) -> bool:
        """Return whether all that will be shown of a range is there; unless it `may_be_empty`, some bar as well."""
        missing = series.missing(within)
        if not missing:
            return True
        ranges = shown()
        lacks = any(gap.start < piece.end and piece.start < gap.end for gap in missing for piece in ranges)
        return bool(ranges) and not lacks and (may_be_empty or any(self.has_bars(series, piece) for piece in ranges))

    def _download(
        self, key: SeriesKey, asset: Asset, requested: RequestedBars, pieces: list[TimeRange], name: str
    ) -> Iterator[Delivery]:
        """Download pieces of a series, span by span as they arrive."""
        ranges = tuple((piece.start, piece.end) for piece in pieces)
        request = BarRequest(
            requested.symbol, key.timeframe, ranges, requested.kind, adjustment=key.adjustment, label=str(asset)
        )
        settled = clock.epoch_now() - _LONGEST_DAY
        with closing(self._provider().bars(request)) as arriving:
            for response in arriving:
                if not are_plausible(response.bars):
                    raise RuntimeError(f"Failed to fetch data for {name}: Alpaca returned invalid OHLCV bars")
                # Days of crypto begin when Chicago's do, which no other day does.
                settles_late = requested.kind == "crypto" and key.timeframe == "day"
                end = min(response.end, settled) if settles_late else response.end
                yield Delivery(TimeRange(response.start, max(response.start, end)), response.bars, {})
