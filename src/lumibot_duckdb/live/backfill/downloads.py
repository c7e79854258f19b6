"""Downloads of missing ranges of one series, stored as a backtest's downloads are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from lumibot_duckdb import clock
from lumibot_duckdb.live.rest_bars import ALPACA, RestBars
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import ProviderError
from lumibot_duckdb.sources.shared.rate_limit import StoppedError
from lumibot_duckdb.storage.api import DataStorageInterface, SeriesKey, TimeRange

_LONGEST_DAY = 25 * 3600


def download_missing(
    storage: DataStorageInterface,
    rest: RestBars,
    key: SeriesKey,
    wanted: TimeRange,
    stop: threading.Event,
    on_bars: Callable[[int], None],
) -> None:
    """Download what the store lacks of a range, and store each response when it arrives.

    Parameters:
        storage: the store.
        rest: asks the provider.
        key: the series.
        wanted: the range.
        stop: ends the download after the current response.
        on_bars: receives the number of bars of each response.

    Raises:
        ProviderError: some of it could not be downloaded; the rest is stored.
        StorageError: a response could not be stored.
        StoppedError: `stop` was set.
    """

    def download(pieces: list[TimeRange]) -> Iterator[Delivery]:
        with closing(_deliveries(rest, key, pieces)) as arriving:
            for delivery in arriving:
                on_bars(len(delivery.bars))
                yield delivery
                if stop.is_set():
                    raise StoppedError

    DownloadedSeries(storage, key).ensure(wanted, download)


def check_adjustment(storage: DataStorageInterface, rest: RestBars, key: SeriesKey) -> None:
    """Restate an adjusted stock of Alpaca if it was split or paid a dividend since its bars were stored.

    It asks Alpaca once a day. Recording adds bars that are adjusted as of now, and a backtest asks only before it
    downloads bars, so without this, bars before and after a split would be mixed.

    Raises:
        ProviderError, StorageError
    """
    if key.source == ALPACA and key.adjustment and key.asset.asset_type == "stock":
        from lumibot_duckdb.sources.alpaca.actions import AdjustedHistory

        provider = rest.alpaca()  # here, because the history logs a missing key for each stock
        AdjustedHistory(lambda: storage, lambda: provider).check(key.asset.symbol, key.adjustment, read_before=False)


def _deliveries(rest: RestBars, key: SeriesKey, pieces: list[TimeRange]) -> Generator[Delivery, None, None]:
    """Yield a provider's responses as the source of its backtests stores them."""
    alpacas = key.source == ALPACA
    # Days of Alpaca's crypto begin when Chicago's do, which no other day does.
    latest = clock.epoch_now() - _LONGEST_DAY if alpacas and _is_crypto_day(key) else 2**62
    for response in rest.responses(key, pieces):
        if alpacas:
            from lumibot_duckdb.lumibot_contract.alpaca_bar_check import are_plausible

            if not are_plausible(response.bars):
                raise ProviderError(f"Alpaca returned invalid bars of {key.label()}, which are not stored")
        end = max(response.start, min(response.end, latest))
        yield Delivery(TimeRange(response.start, end), response.bars, response.metadata)


def _is_crypto_day(key: SeriesKey) -> bool:
    return key.asset.asset_type == "crypto" and key.timeframe == "day"
