"""A provider's series during a backtest: requests, stored bars, and changes by other processes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.sources.shared.downloaded_series import ALWAYS, Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.errors import ProviderUnavailableError
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange, WriteResult
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import HistoryRestatedError, StoreBusyError
from lumibot_duckdb.storage.times import bar_starts
from sources.conftest import LetPass

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


@pytest.fixture(scope="module")
def module_storage(tmp_path_factory: pytest.TempPathFactory) -> DuckDBDataStorage:
    """A store for many examples, each of which has its own series."""
    return DuckDBDataStorage(tmp_path_factory.mktemp("series") / "store.duckdb")


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


@pytest.mark.parametrize("seen", [True, False], ids=["with bars", "without bars"])
def test_a_restatement_right_after_a_write_does_not_move_a_running_backtest(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """Between the write and the pin that follows it, another process gets its turn."""
    series = DownloadedSeries(storage, KEY)
    if seen:
        series.ensure(minutes(0, 10), Provider(100.0))
    before, write = series.pin, storage.store_ohlcv_data

    def write_and_be_overtaken(*arguments: Any, **settings: Any) -> WriteResult:
        result = write(*arguments, **settings)
        monkeypatch.setattr(storage, "store_ohlcv_data", write)
        storage.restate_series(KEY.asset, KEY.source, KEY.timeframe, adjustment=KEY.adjustment)
        DownloadedSeries(storage, KEY).ensure(minutes(0, 20), Provider(25.0))
        return result

    monkeypatch.setattr(storage, "store_ohlcv_data", write_and_be_overtaken)
    with pytest.raises(HistoryRestatedError, match="again"):
        series.ensure(minutes(0, 20), Provider(100.0))
    assert series.pin == before
    if before is not None:
        assert storage.read_pandas(before)["close"].tolist() == [100.0] * 10
    assert storage.read_pandas(storage.pin(KEY))["close"].tolist() == [25.0] * 20


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


# -- bars that have not closed --------------------------------------------------------------------------------

DAY = 86_400
DAYS = replace(KEY, timeframe="day")
symbols = count()


def days(first: int, last: int) -> TimeRange:
    """Return a range of days, by UTC; day 0 is today. Its bar is open, and so are the bars of all later days."""
    today = int(time.time()) // DAY * DAY
    return TimeRange(today + DAY * first, today + DAY * last)


def daily(within: TimeRange, price: float, holes: Iterable[int] = ()) -> pd.DataFrame:
    """Return bars of the days in a range, without those of some days."""
    starts = [start for start in range(within.start, within.end, DAY) if (start - days(0, 1).start) // DAY not in holes]
    index = pd.DatetimeIndex(pd.Series(starts, dtype="int64").astype("M8[s]"), tz="UTC").as_unit("ns")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), price), index=index).assign(volume=100)


def delivering(price: float, *ranges: TimeRange) -> Callable[[list[TimeRange]], list[Delivery]]:
    """Return a download whose responses are for these ranges, in this order."""
    return lambda pieces: [Delivery(within, daily(within, price), {}) for within in ranges or pieces]


def prices(series: DownloadedSeries) -> dict[int, float]:
    """Return the closes that a backtest sees, by bar start. Fail if it sees a bar twice or out of order."""
    view = series.view()
    assert view is not None
    bars = view.bars(ALWAYS)
    times: list[int] = bars.times.tolist()
    assert times == sorted(set(times)) == view.times().tolist() == bar_starts(view.frame()).tolist()
    assert view.facts.rows == len(times)
    return dict(zip(times, bars.columns["close"].tolist(), strict=True))


def store_as_another_process(storage: DuckDBDataStorage, key: SeriesKey, bars: pd.DataFrame) -> None:
    storage.store_ohlcv_data(key.asset, bars, key.source, key.timeframe, adjustment=key.adjustment)


@pytest.mark.parametrize("by", ["another process", "a later download"])
def test_an_open_bar_is_seen_once_when_it_has_been_stored(storage: DuckDBDataStorage, by: str) -> None:
    series = DownloadedSeries(storage, DAYS)
    series.ensure(days(-3, 1), delivering(1.0))
    today = days(0, 1)
    assert prices(series)[today.start] == 1.0
    assert storage.facts(storage.pin(DAYS)).rows == 3, "the open bar is not stored"
    if by == "another process":
        store_as_another_process(storage, DAYS, daily(today, 2.0))
        assert prices(series)[today.start] == 1.0, "what others store is seen from the next download on"
        series.ensure(days(-6, 1), delivering(1.0))
    else:
        series.refresh(days(-6, 0), lambda pieces: [Delivery(days(-6, 1), daily(days(-6, 1), 2.0), {})])
    seen = prices(series)
    assert len(seen) == 7
    assert seen[today.start] == 2.0


def test_an_open_bar_stays_when_other_ranges_are_delivered_after_it(storage: DuckDBDataStorage) -> None:
    series = DownloadedSeries(storage, DAYS)
    series.ensure(days(-6, 2), delivering(1.0, days(1, 2), days(0, 1), days(-3, 0), days(-6, -3)))
    assert list(prices(series)) == [days(day, 7).start for day in range(-6, 2)]
    series.ensure(days(-9, 2), delivering(1.0))
    assert list(prices(series)) == [days(day, 7).start for day in range(-9, 2)]
    within = series.view(days(-1, 1))
    assert within is not None
    assert within.times().tolist() == [days(day, 7).start for day in (-1, 0)]


def test_an_open_bar_that_the_provider_takes_back_is_seen_no_longer(storage: DuckDBDataStorage) -> None:
    series = DownloadedSeries(storage, DAYS)
    series.ensure(days(-3, 1), delivering(1.0))
    series.refresh(days(-3, 1), lambda pieces: [Delivery(days(-3, 1), daily(days(-3, 0), 1.0), {})])
    assert list(prices(series)) == [days(day, 7).start for day in range(-3, 0)]


class RecordingProvider:
    """Gives daily bars, and keeps the prices of the open ones of its latest responses."""

    def __init__(self) -> None:
        self.still_open: dict[int, float] = {}

    def download(self, price: float, holes: set[int]) -> Callable[[list[TimeRange]], Iterator[Delivery]]:
        """Return a download of bars at a price, without those of some days."""

        def deliver(pieces: list[TimeRange]) -> Iterator[Delivery]:
            for piece in pieces:
                bars = daily(piece, price, holes)
                yield Delivery(piece, bars, {})
                others = {start: price for start, price in self.still_open.items() if not _in(piece, start)}
                not_closed = bars[bars.index + pd.Timedelta(days=1) > clock.utc_now()]
                self.still_open = others | dict.fromkeys(bar_starts(not_closed).tolist(), price)

        return deliver


def _in(piece: TimeRange, start: int) -> bool:
    return piece.start <= start < piece.end


spans = st.tuples(st.integers(-5, 4), st.integers(1, 4)).map(lambda span: days(span[0], span[0] + span[1]))
operations = st.lists(
    st.tuples(st.sampled_from(["ensure", "refresh", "another process"]), spans, st.sets(st.integers(-5, 7))),
    min_size=1,
    max_size=7,
)


@examples(20)
@given(operations)
def test_every_bar_is_seen_once_whoever_stores_it(
    module_storage: DuckDBDataStorage, operations: list[tuple[str, TimeRange, set[int]]]
) -> None:
    """Against a model: the pinned bars, and the open ones of the latest responses that are not among those."""
    storage, key = module_storage, replace(DAYS, asset=AssetKey(f"S{next(symbols)}"))
    series, provider = DownloadedSeries(storage, key), RecordingProvider()
    for number, (operation, wanted, holes) in enumerate(operations):
        price = float(number + 1)
        if operation == "another process":
            stored = [] if series.pin is None else bar_starts(storage.read_pandas(storage.pin(key))).tolist()
            bars = daily(wanted, price, holes)
            store_as_another_process(storage, key, bars[[start not in stored for start in bar_starts(bars).tolist()]])
        else:
            getattr(series, operation)(wanted, provider.download(price, holes))
        if series.pin is not None:
            pinned = storage.read_pandas(series.pin)
            model = dict(zip(bar_starts(pinned).tolist(), pinned["close"].tolist() if len(pinned) else [], strict=True))
            provider.still_open = {time: price for time, price in provider.still_open.items() if time not in model}
            assert prices(series) == dict(sorted({**model, **provider.still_open}.items()))


class Lacking(Provider):
    """Has no bars after a time."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self.until = until

    def __call__(self, pieces: Iterable[TimeRange]) -> Iterator[Delivery]:
        for delivery in super().__call__(pieces):
            end = max(delivery.within.start, min(delivery.within.end, self.until))
            yield Delivery(delivery.within, bars(TimeRange(delivery.within.start, end)), {})


def test_what_expires_or_is_forgotten_does_not_affect_a_running_backtest(
    storage: DuckDBDataStorage, let_pass: LetPass
) -> None:
    provider = Lacking(BEGIN + 60 * 20)
    running = DownloadedSeries(storage, KEY)
    running.ensure(minutes(0, 60), provider)
    let_pass(31)
    running.ensure(minutes(0, 70), provider)
    storage.forget_coverage(KEY)
    running.ensure(minutes(0, 80), provider)
    assert provider.asked == [minutes(0, 60), minutes(60, 70), minutes(70, 80)]
    DownloadedSeries(storage, KEY).ensure(minutes(0, 80), provider)
    assert provider.asked[3:] == [minutes(0, 70)]  # the last ten minutes were stored after that


def failing(pieces: list[TimeRange]) -> Iterator[Delivery]:
    raise ProviderUnavailableError("no answer")
    yield


@pytest.mark.parametrize("trusts", [True, False], ids=["expired", "requested in each run"])
def test_what_was_answered_before_serves_while_it_cannot_be_requested_again(
    storage: DuckDBDataStorage, let_pass: LetPass, caplog: pytest.LogCaptureFixture, trusts: bool
) -> None:
    DownloadedSeries(storage, KEY).ensure(minutes(0, 60), Lacking(BEGIN + 60 * 20))
    let_pass(31 if trusts else 0)
    series = DownloadedSeries(storage, KEY, trusts_provisional=trusts)
    assert series.missing(minutes(0, 60)) == [minutes(20, 60)]
    with pytest.raises(ProviderUnavailableError):
        series.ensure(minutes(0, 61), failing)
    assert caplog.text == ""
    series.ensure(minutes(0, 60), failing)
    assert "could not be requested again (no answer)" in caplog.text
    assert series.missing(minutes(0, 60)) == []
    again = DownloadedSeries(storage, KEY, trusts_provisional=trusts)
    assert again.missing(minutes(0, 60)) == [minutes(20, 60)]
    storage.forget_coverage(KEY)
    with pytest.raises(ProviderUnavailableError):
        again.ensure(minutes(0, 60), failing)


def test_what_another_version_was_answered_for_does_not_serve(storage: DuckDBDataStorage) -> None:
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(0, 10), Provider(100.0))
    storage.restate_series(KEY.asset, KEY.source, KEY.timeframe, adjustment=KEY.adjustment)
    DownloadedSeries(storage, KEY).ensure(minutes(0, 20), Provider(25.0))
    with pytest.raises(ProviderUnavailableError):
        series.ensure(minutes(0, 20), failing)


def test_provisional_ranges_can_be_requested_in_each_run(storage: DuckDBDataStorage, let_pass: LetPass) -> None:
    provider = Lacking(BEGIN + 60 * 20)

    def run() -> list[TimeRange]:
        provider.asked = []
        DownloadedSeries(storage, KEY, trusts_provisional=False).ensure(minutes(0, 60), provider)
        return provider.asked

    assert run() == [minutes(0, 60)]
    for days in (0, 1, 29):  # too early to be a confirmation
        let_pass(days)
        assert run() == [minutes(20, 60)]
    let_pass(31)
    assert run() == [minutes(20, 60)]
    assert run() == []


def test_a_bar_that_closes_during_its_download_is_not_stored(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider may have answered before the bar was complete."""

    def at(minute: float) -> None:
        moment = datetime.fromtimestamp(BEGIN + 60 * minute, timezone.utc)
        monkeypatch.setattr(clock, "utc_now", lambda: moment)

    def slowly(pieces: list[TimeRange]) -> Iterator[Delivery]:
        for piece in pieces:
            at(15)
            yield Delivery(piece, bars(minutes(0, 11)), {})

    at(10.5)
    series = DownloadedSeries(storage, KEY)
    series.ensure(minutes(0, 60), slowly)
    assert series.pin is not None
    assert storage.facts(series.pin).last == BEGIN + 60 * 9
    assert storage.coverage(KEY) == [minutes(0, 10)]
    assert series.open_bars.index.as_unit("s").asi8.tolist() == [BEGIN + 600]
