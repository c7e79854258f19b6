"""A provider's series during a backtest: requests, stored bars, and changes by other processes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import HistoryRestatedError, StoreBusyError

KEY = SeriesKey(AssetKey("AAPL"), "polygon", "minute", "split")
BEGIN = int(pd.Timestamp("2024-03-08 14:30", tz="UTC").timestamp())


def minutes(first: int, last: int) -> TimeRange:
    return TimeRange(BEGIN + 60 * first, BEGIN + 60 * last)


def bars(within: TimeRange, price: float = 100.0) -> pd.DataFrame:
    starts = pd.DatetimeIndex(pd.Series(range(within.start, within.end, 60)).astype("M8[s]"), tz="UTC").as_unit("ns")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), price), index=starts).assign(volume=100)


class Provider:
    """Returns bars at a price, and records the requests."""

    def __init__(self, price: float = 100.0) -> None:
        self.price = price
        self.asked: list[TimeRange] = []
        self.fails_after: int | None = None

    def __call__(self, pieces: Iterable[TimeRange]) -> Iterator[Delivery]:
        for number, piece in enumerate(pieces):
            if self.fails_after is not None and number >= self.fails_after:
                raise ConnectionError("the line is dead")
            self.asked.append(piece)
            yield Delivery(piece, bars(piece, self.price), {})


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    return DuckDBDataStorage(tmp_path / "store.duckdb")


def test_only_what_is_missing_is_requested(storage: DuckDBDataStorage) -> None:
    provider = Provider()
    DownloadedSeries(storage, KEY).ensure(minutes(10, 20), provider)
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(10, 20), provider)
    series.ensure(minutes(5, 30), provider)
    assert provider.asked == [minutes(10, 20), minutes(5, 10), minutes(20, 30)]
    assert series.pin is not None
    assert storage.facts(series.pin).rows == 25


def test_an_interrupted_download_continues_where_it_stopped(storage: DuckDBDataStorage) -> None:
    provider = Provider()
    DownloadedSeries(storage, KEY).ensure(minutes(10, 20), provider)
    provider.fails_after = 1
    with pytest.raises(ConnectionError):
        DownloadedSeries(storage, KEY).ensure(minutes(0, 30), provider)
    provider.fails_after = None
    DownloadedSeries(storage, KEY).ensure(minutes(0, 30), provider)
    assert provider.asked == [minutes(10, 20), minutes(0, 10), minutes(20, 30)]


def test_what_could_not_be_written_is_not_requested_again(storage: DuckDBDataStorage) -> None:
    provider = Provider()
    connection = StoreConnection.of(storage.path)
    lock = StoreLock(storage.path)

    def held_meanwhile(pieces: list[TimeRange]) -> Iterator[Delivery]:
        storage.close()
        lock.acquire(True, float("inf"))
        yield from provider(pieces)

    connection.wait_seconds = 0
    with pytest.raises(StoreBusyError, match="merges it"):
        DownloadedSeries(storage, KEY).ensure(minutes(10, 20), held_meanwhile)
    connection.wait_seconds = 30
    lock.close()
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(10, 25), provider)
    assert provider.asked == [minutes(10, 20), minutes(20, 25)]
    assert series.pin is not None
    assert storage.facts(series.pin).rows == 15


def test_an_empty_answer_is_not_requested_again(storage: DuckDBDataStorage) -> None:
    asked = []

    def nothing(pieces: Iterable[TimeRange]) -> Iterator[Delivery]:
        for piece in pieces:
            asked.append(piece)
            yield Delivery(piece, bars(TimeRange(BEGIN, BEGIN)), {})

    for _ in range(2):
        DownloadedSeries(storage, KEY).ensure(minutes(0, 600), nothing)
    assert asked == [minutes(0, 600)]


def test_what_another_process_downloaded_meanwhile_is_not_requested(storage: DuckDBDataStorage) -> None:
    mine, other = Provider(), Provider()
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(0, 10), mine)
    DownloadedSeries(storage, KEY).ensure(minutes(10, 20), other)
    series.ensure(minutes(0, 20), mine)
    assert mine.asked == [minutes(0, 10)]


def test_a_restatement_meanwhile_changes_nothing_and_is_never_mixed_in(storage: DuckDBDataStorage) -> None:
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(0, 10), Provider(100.0))
    storage.restate_series(KEY.asset, KEY.source, KEY.timeframe, adjustment=KEY.adjustment)
    DownloadedSeries(storage, KEY).ensure(minutes(0, 20), Provider(25.0))
    series.ensure(minutes(2, 8), Provider(25.0))
    assert series.pin is not None
    assert set(storage.read_pandas(series.pin)["close"]) == {100.0}
    with pytest.raises(HistoryRestatedError, match="again"):
        series.ensure(minutes(-5, 10), Provider(25.0))
    assert set(storage.read_pandas(series.pin)["close"]) == {100.0}
    assert set(storage.read_pandas(storage.pin(KEY))["close"]) == {25.0}


def test_bars_that_have_not_closed_are_seen_but_not_stored(storage: DuckDBDataStorage) -> None:
    now = int(time.time()) // 60 * 60
    within = TimeRange(now - 600, now + 600)
    series = DownloadedSeries(storage, KEY)
    series.ensure(
        within, lambda pieces: [Delivery(piece, bars(TimeRange(now - 600, now + 60)), {}) for piece in pieces]
    )
    assert series.pin is not None
    last = storage.facts(series.pin).last
    assert last is not None
    assert last < now
    assert now in series.open_bars.index.as_unit("s").asi8.tolist()
    asked: list[TimeRange] = []
    DownloadedSeries(storage, KEY).ensure(within, lambda pieces: asked.extend(pieces) or [])
    assert asked
    assert asked[0].start <= now


def test_the_past_is_read_as_it_stood_and_nothing_is_requested(storage: DuckDBDataStorage) -> None:
    DownloadedSeries(storage, KEY).ensure(minutes(0, 10), Provider(100.0))
    then = datetime.now(timezone.utc)
    storage.restate_series(KEY.asset, KEY.source, KEY.timeframe, adjustment=KEY.adjustment)
    DownloadedSeries(storage, KEY).ensure(minutes(0, 10), Provider(25.0))
    provider = Provider()
    series = DownloadedSeries(storage, KEY, as_of=then)
    series.ensure(minutes(-10, 60), provider)
    assert provider.asked == []
    assert series.pin is not None
    assert set(storage.read_pandas(series.pin)["close"]) == {100.0}
