"""History from the store: the broker's frame in every case, fewer requests, and no error or delay by the store."""

from __future__ import annotations

import logging
import threading
from itertools import count
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from live.conftest import SetClock
from live.warm_up.brokers import Broker, bars_at, minutes, moment, store
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.live.checking.verified import SeriesKind, Verification, VerifiedKinds
from lumibot_duckdb.live.warm_up import warm_up as warm_up_module
from lumibot_duckdb.live.warm_up.choice import WarmUpArgument, WarmUpChoice, chosen_warm_up
from lumibot_duckdb.live.warm_up.warm_up import WarmUp, warm_up_of
from lumibot_duckdb.storage.api import AssetKey, DataStorageInterface, SeriesKey, SeriesPin
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.errors import StoreBusyError

KEY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")
RAW = SeriesKey(AssetKey("BTC", "crypto", "USD"), "alpaca", "minute")
ALL_MINUTES = range(400)


def always(_: SeriesKey) -> bool:
    return True


def read(warm_up: WarmUp, broker: Broker, first: float, stop: float, key: SeriesKey = KEY) -> pd.DataFrame:
    """Read through the warm-up what Lumibot keeps of it: the bars in the range."""
    start, end = moment(first), moment(stop)
    found = warm_up.fetch(None, key, start, end, broker)
    assert found is not None
    return found[(found.index >= start) & (found.index < end)]


def assert_brokers(found: pd.DataFrame, broker: Broker, first: float, stop: float) -> None:
    expected = broker.within(moment(first), moment(stop))
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=False)
    assert found.index.dtype == expected.index.dtype


@pytest.fixture(autouse=True)
def _few_bars_are_worth_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up_module, "BARS_WORTH_A_REQUEST", 1)


@pytest.fixture
def broker() -> Broker:
    return Broker(bars_at(ALL_MINUTES))


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    return DuckDBDataStorage(tmp_path)


@pytest.fixture
def warm_up(storage: DuckDBDataStorage, set_clock: SetClock) -> WarmUp:
    set_clock(moment(395))
    return WarmUp(lambda: storage, always)


# -- the frame ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_storage(tmp_path_factory: pytest.TempPathFactory) -> DuckDBDataStorage:
    """A store for many examples. Each has its own series."""
    return DuckDBDataStorage(tmp_path_factory.mktemp("store"))


NUMBERS = count()


@examples(40)
@given(data=st.data())
def test_every_split_between_store_and_broker_gives_the_brokers_frame(
    shared_storage: DuckDBDataStorage, data: st.DataObject
) -> None:
    adjustment = data.draw(st.sampled_from(["all", ""]), "adjustment")
    key = SeriesKey(AssetKey(f"X{next(NUMBERS)}"), "alpaca", "minute", adjustment)
    left_out = data.draw(st.sets(st.sampled_from(ALL_MINUTES), max_size=60), "without")
    closed = data.draw(st.tuples(st.integers(0, 300), st.integers(0, 120)), "closed")
    traded = [m for m in ALL_MINUTES if m not in left_out and not closed[0] <= m < sum(closed)]
    broker = Broker(bars_at(traded, seed=1))
    ends = st.tuples(st.integers(0, 380), st.integers(1, 200))
    pieces = data.draw(st.lists(ends, max_size=4), "covered")
    covered = [minutes(first, min(400, first + length)) for first, length in pieces]
    store(shared_storage, key, broker.bars, *covered)
    warm_up = WarmUp(lambda: shared_storage, always, deadline_seconds=60)
    for number in range(2):
        first = data.draw(st.integers(0, 390), "first") + data.draw(st.sampled_from([0, 1e-6, 0.5]), "part")
        stop = first + data.draw(st.integers(1, 400), "length")
        broker.asked.clear()
        with mock.patch.object(clock, "utc_now", return_value=moment(390).to_pydatetime()):
            found = warm_up.fetch(None, key, moment(first), moment(stop), broker)
        expected = broker.within(moment(first), moment(stop))
        if found is None:
            assert not len(expected)
            continue
        inside = found[(found.index >= moment(first)) & (found.index < moment(stop))]
        pd.testing.assert_frame_equal(inside, expected, check_exact=True, check_freq=False)
        assert inside.index.dtype == expected.index.dtype
        assert len(broker.asked) <= 6, number
        assert not warm_up.counts.different


@examples(20)
@given(
    split_at=st.integers(0, 400), covered=st.integers(20, 380), first=st.integers(0, 200), length=st.integers(20, 200)
)
def test_bars_from_before_a_split_never_reach_the_strategy(
    shared_storage: DuckDBDataStorage, split_at: int, covered: int, first: int, length: int
) -> None:
    key = SeriesKey(AssetKey(f"X{next(NUMBERS)}"), "alpaca", "minute", "all")
    broker = Broker(bars_at(ALL_MINUTES, seed=2))
    stored = broker.bars.copy()
    stored.loc[stored.index < moment(split_at), ["open", "high", "low", "close"]] *= 2
    store(shared_storage, key, stored, minutes(0, covered))
    warm_up = WarmUp(lambda: shared_storage, always, deadline_seconds=60)
    with mock.patch.object(clock, "utc_now", return_value=moment(390).to_pydatetime()):
        for begin in (first, 0):
            assert_brokers(read(warm_up, broker, begin, begin + length, key), broker, begin, begin + length)
    assert warm_up.restatements.wait(20)


def test_only_the_gaps_are_requested_with_three_bars_beside_them(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker
) -> None:
    store(storage, RAW, broker.bars, minutes(100, 200), minutes(250, 350))
    assert_brokers(read(warm_up, broker, 50, 390, RAW), broker, 50, 390)
    asked = [(moment(50), moment(103)), (moment(197), moment(253)), (moment(347), moment(390))]
    assert broker.asked == asked
    assert (warm_up.counts.reads, warm_up.counts.bars) == (1, 2 * 94)


@pytest.mark.parametrize(("worth", "requests"), [(95, 1), (94, 3)])
def test_requests_are_not_repeated_for_a_few_bars(
    warm_up: WarmUp,
    storage: DuckDBDataStorage,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    worth: int,
    requests: int,
) -> None:
    store(storage, RAW, broker.bars, minutes(100, 200), minutes(250, 350))  # 188 of these bars are not requested
    monkeypatch.setattr(warm_up_module, "BARS_WORTH_A_REQUEST", worth)
    assert_brokers(read(warm_up, broker, 50, 390, RAW), broker, 50, 390)
    assert len(broker.asked) == requests


def test_a_covered_range_is_compared_once_a_day(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    store(storage, KEY, broker.bars, minutes(0, 370))
    for _ in range(3):
        assert_brokers(read(warm_up, broker, 100, 300), broker, 100, 300)
    assert broker.asked == [(moment(100), moment(103)), (moment(297), moment(300))]
    read(warm_up, broker, 50, 300)  # further back than what was compared
    assert broker.asked[2:] == [(moment(50), moment(53))]
    set_clock(moment(395) + pd.Timedelta(days=1))
    assert_brokers(read(warm_up, broker, 50, 300), broker, 50, 300)
    assert broker.asked[3:] == [(moment(50), moment(53)), (moment(297), moment(300))]


def test_bars_that_are_not_settled_come_from_the_broker(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    store(storage, RAW, broker.bars, minutes(0, 400))
    set_clock(moment(300.5))
    assert_brokers(read(warm_up, broker, 0, 301, RAW), broker, 0, 301)
    assert broker.asked == [(moment(282), moment(301))]  # the bar of minute 284 ended 15 minutes ago
    read(warm_up, broker, 280, 301, RAW)
    assert broker.asked[1:] == [(moment(280), moment(301))]


def test_ranges_that_no_response_proves_come_from_the_broker(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker
) -> None:
    covered = minutes(0, 370)
    storage.store_ohlcv_data(
        RAW.asset, broker.bars.iloc[:100], "alpaca", "minute", covered=covered, provisional=[minutes(100, 370)]
    )
    assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert broker.asked == [(moment(97), moment(390))]


def test_bars_that_were_imported_from_an_old_cache_are_not_used(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker
) -> None:
    rounded = broker.bars.iloc[:300].round(3)
    storage.store_ohlcv_data(RAW.asset, rounded, "alpaca", "minute", metadata={"migrated_from": "alpaca/x.csv"})
    assert_brokers(read(warm_up, broker, 0, 250, RAW), broker, 0, 250)
    assert broker.asked == [(moment(0), moment(250))]


def test_columns_and_types_are_the_brokers(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    whole = broker.bars.astype({"volume": "int64", "trade_count": "int64"})[[*reversed(broker.bars.columns)]]
    broker.bars = whole.tz_convert("America/Chicago").rename_axis(None)
    broker.bars.index = broker.bars.index.as_unit("us")
    store(storage, RAW, whole, minutes(0, 350))
    assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert warm_up.counts.bars == 347


@pytest.mark.parametrize("change", ["column missing", "more columns", "no whole numbers"])
def test_what_the_brokers_form_cannot_hold_comes_from_the_broker(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker, change: str
) -> None:
    stored = broker.bars
    if change == "column missing":
        stored = stored.drop(columns="vwap")
    elif change == "more columns":
        stored = stored.assign(bid=1.0)
    else:
        broker.bars = stored.astype({"trade_count": "int64"})
        stored = stored.assign(trade_count=stored["trade_count"].where(stored.index > moment(50), 1.5))
    store(storage, RAW, stored, minutes(0, 350))
    assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert broker.asked == [(moment(347), moment(390)), (moment(0), moment(390))]
    read(warm_up, broker, 0, 390, RAW)  # the attempt is not repeated at once
    assert broker.asked[2:] == [(moment(0), moment(390))]


def test_an_answer_without_bars_is_not_trusted(warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker) -> None:
    store(storage, RAW, broker.bars, minutes(0, 350))
    with mock.patch.object(Broker, "answer", side_effect=[None, broker.bars]):
        assert read(warm_up, broker, 0, 390, RAW).equals(broker.within(moment(0), moment(390)))
    assert len(broker.asked) == 2
    assert not warm_up.counts.different


# -- other bars at the broker ---------------------------------------------------------------------------------


def test_a_split_restates_the_series_and_everything_comes_from_the_broker(
    warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker
) -> None:
    store(storage, KEY, broker.bars, minutes(0, 350))
    before = storage.pin(KEY)
    broker.bars = broker.bars / 4
    assert_brokers(read(warm_up, broker, 0, 390), broker, 0, 390)
    assert warm_up.restatements.wait(20)
    assert storage.coverage(KEY) == []
    assert storage.pin(KEY).version_id != before.version_id
    assert len(storage.read_pandas(before)) == 350


def test_a_split_between_stored_bars_is_found(warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker) -> None:
    """Recording continued after the split, so only bars before it are adjusted otherwise."""
    stored = broker.bars.copy()
    stored[stored.index < moment(200)] *= 4
    store(storage, KEY, stored, minutes(0, 350))
    assert_brokers(read(warm_up, broker, 0, 390), broker, 0, 390)
    assert warm_up.restatements.wait(20)
    assert storage.coverage(KEY) == []


@pytest.mark.parametrize("key", [KEY, RAW], ids=["adjusted", "raw"])
def test_a_correction_restates_nothing_but_ends_the_use_of_the_series_for_a_day(
    warm_up: WarmUp,
    storage: DuckDBDataStorage,
    broker: Broker,
    set_clock: SetClock,
    caplog: pytest.LogCaptureFixture,
    key: SeriesKey,
) -> None:
    store(storage, key, broker.bars, minutes(0, 350))
    stored = broker.bars
    broker.bars = stored.copy()
    broker.bars.loc[moment(348), "close"] += 0.01
    assert_brokers(read(warm_up, broker, 0, 390, key), broker, 0, 390)
    assert "`lumibot-duckdb live check` lists the differences" in caplog.text
    assert storage.coverage(key) == [minutes(0, 350)]
    broker.bars = stored
    for later, requests in ((0, [(moment(0), moment(390))]), (1, None)):
        broker.asked.clear()
        set_clock(moment(395) + pd.Timedelta(days=later))
        assert_brokers(read(warm_up, broker, 0, 390, key), broker, 0, 390)
        assert requests is None or broker.asked == requests
    assert broker.asked[-1] == (moment(347), moment(390))
    assert warm_up.counts.different == 1


def test_a_series_waits_for_its_restatement_while_the_store_is_busy(
    storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    set_clock(moment(395))
    store(storage, KEY, broker.bars, minutes(0, 350))
    broker.bars = broker.bars / 2
    warm_up = WarmUp(lambda: storage, always)
    warm_up.restatements._pause_seconds = 0.01
    failures = iter([StoreBusyError("held"), StoreBusyError("held")])
    restate, go_on = storage.restate_series, threading.Event()

    def busy_at_first(*arguments: object, **settings: object) -> None:
        go_on.wait(20)
        error = next(failures, None)
        if error is not None:
            raise error
        restate(*arguments, **settings)  # type: ignore[arg-type]

    with mock.patch.object(storage, "restate_series", busy_at_first):
        read(warm_up, broker, 0, 390)
        assert KEY in warm_up.restatements
        broker.asked.clear()
        assert_brokers(read(warm_up, broker, 0, 390), broker, 0, 390)
        assert broker.asked == [(moment(0), moment(390))]
        go_on.set()
        assert warm_up.restatements.wait(20)
    assert KEY not in warm_up.restatements
    assert storage.coverage(KEY) == []


def test_a_series_that_its_recorder_has_restated_is_left_alone(
    storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    set_clock(moment(395))
    store(storage, KEY, broker.bars, minutes(0, 350))
    broker.bars = broker.bars / 2
    warm_up = WarmUp(lambda: storage, always)
    go_on, pin = threading.Event(), storage.pin

    def delayed(key: SeriesKey) -> SeriesPin:
        if threading.current_thread().name == "lumibot-duckdb-restatement":
            go_on.wait(20)
        return pin(key)

    with mock.patch.object(storage, "pin", delayed):
        read(warm_up, broker, 0, 390)
        storage.restate_series(KEY.asset, KEY.source, KEY.timeframe, adjustment=KEY.adjustment)
        store(storage, KEY, broker.bars, minutes(0, 370))
        go_on.set()
        assert warm_up.restatements.wait(20)
    assert storage.coverage(KEY) == [minutes(0, 370)]
    broker.asked.clear()
    assert_brokers(read(warm_up, broker, 0, 390), broker, 0, 390)
    assert broker.asked[-1] == (moment(367), moment(390))


# -- the store is in the way -----------------------------------------------------------------------------------


def test_a_store_that_does_not_answer_costs_one_deadline(
    storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    set_clock(moment(395))
    store(storage, RAW, broker.bars, minutes(0, 350))
    answers, begun = threading.Event(), count()

    def slow() -> DataStorageInterface:
        next(begun)
        answers.wait(20)
        return storage

    warm_up = WarmUp(slow, always, deadline_seconds=0.01)
    for _ in range(5):
        assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert (warm_up.counts.late, next(begun)) == (5, 1)
    assert broker.asked == [(moment(0), moment(390))] * 5
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 1
    answers.set()
    assert warm_up._reads._late is not None
    warm_up._reads._late.join(20)
    warm_up._reads._seconds = 60
    broker.asked.clear()
    assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert broker.asked == [(moment(347), moment(390))]


def test_a_store_that_another_process_holds_is_not_waited_for(
    storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock
) -> None:
    set_clock(moment(395))
    store(storage, RAW, broker.bars, minutes(0, 350))
    storage.close()
    lock = StoreLock(storage.path)
    lock.acquire(True, float("inf"))
    try:
        warm_up = WarmUp(lambda: storage, always, deadline_seconds=0.05)
        assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
        assert warm_up.counts.late == 1
    finally:
        lock.release()
    assert warm_up._reads._late is not None
    warm_up._reads._late.join(20)


@pytest.mark.parametrize("damage", ["no store", "error", "damaged file"])
def test_without_a_usable_store_the_broker_is_asked(
    tmp_path: Path, broker: Broker, set_clock: SetClock, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    set_clock(moment(395))
    if damage == "damaged file":
        (tmp_path / "lumibot.duckdb").write_bytes(b"no store" * 1_000)

    def opened() -> DataStorageInterface:
        if damage == "error":
            raise MemoryError
        return DuckDBDataStorage(tmp_path)

    warm_up = WarmUp(opened, always, deadline_seconds=60)
    for _ in range(2):
        assert_brokers(read(warm_up, broker, 0, 390, RAW), broker, 0, 390)
    assert len(caplog.records) == (0 if damage == "no store" else 1)
    assert not (tmp_path / "lumibot.duckdb").exists() or damage == "damaged file"


def test_errors_of_the_broker_reach_the_strategy(warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker) -> None:
    store(storage, RAW, broker.bars, minutes(0, 350))

    def refuse(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame:
        raise PermissionError("no subscription")

    with pytest.raises(PermissionError, match="no subscription"):
        warm_up.fetch(None, RAW, moment(0), moment(390), refuse)


def test_frames_that_are_no_bars_are_passed_on(warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker) -> None:
    store(storage, RAW, broker.bars, minutes(0, 350))
    odd = pd.DataFrame({"close": [1.0, 2.0]}, index=[1, 2])
    assert warm_up.fetch(None, RAW, moment(0), moment(390), lambda *_: odd) is odd


# -- when it is on --------------------------------------------------------------------------------------------


def test_only_verified_series_are_read_from_the_store(
    storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUMIBOT_DUCKDB_LIVE_WARM_UP", raising=False)
    set_clock(moment(395))
    store(storage, RAW, broker.bars, minutes(0, 350))
    warm_up = warm_up_of(lambda: storage, storage.path)
    assert warm_up is not None
    read(warm_up, broker, 0, 390, RAW)
    assert warm_up.counts.bars == 0
    verified = VerifiedKinds(storage.path)
    day = clock.today()
    verified.update([Verification(SeriesKind.of(RAW), clock.utc_now(), day, 1, 390)])
    read(warm_up, broker, 0, 390, RAW)
    assert warm_up.counts.bars == 347
    verified.update([], [SeriesKind.of(RAW)])
    read(warm_up, broker, 0, 390, RAW)
    assert warm_up.counts.bars == 347


@pytest.mark.parametrize(
    ("argument", "variable", "chosen"),
    [
        (True, "false", WarmUpChoice.ON),
        (None, "true", WarmUpChoice.ON),
        (None, " Auto ", WarmUpChoice.AUTO),
        ("auto", "true", WarmUpChoice.AUTO),
        (False, "true", WarmUpChoice.OFF),
        (None, "", WarmUpChoice.AUTO),
    ],
)
def test_the_argument_takes_precedence_over_the_variable(
    argument: WarmUpArgument, variable: str, chosen: WarmUpChoice
) -> None:
    assert chosen_warm_up(argument, {"LUMIBOT_DUCKDB_LIVE_WARM_UP": variable}) is chosen


def test_all_series_can_be_read_from_the_store(storage: DuckDBDataStorage, broker: Broker, set_clock: SetClock) -> None:
    set_clock(moment(395))
    store(storage, RAW, broker.bars, minutes(0, 350))
    warm_up = warm_up_of(lambda: storage, storage.path, True)
    assert warm_up is not None
    read(warm_up, broker, 0, 390, RAW)
    assert warm_up.counts.bars == 347


def test_it_can_be_switched_off(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_LIVE_WARM_UP", "off")
    assert warm_up_of(lambda: storage, storage.path) is None
    assert warm_up_of(lambda: storage, storage.path, False) is None
    monkeypatch.setenv("LUMIBOT_DUCKDB_LIVE_WARM_UP", "perhaps")
    with pytest.raises(ValueError, match="LUMIBOT_DUCKDB_LIVE_WARM_UP must be true, false or auto, not 'perhaps'"):
        warm_up_of(lambda: storage, storage.path)


def test_threads_read_at_once(warm_up: WarmUp, storage: DuckDBDataStorage, broker: Broker) -> None:
    store(storage, RAW, broker.bars, minutes(0, 350))
    found: list[pd.DataFrame] = []
    threads = [threading.Thread(target=lambda: found.append(read(warm_up, broker, 0, 390, RAW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4
    for each in found:
        assert_brokers(each, broker, 0, 390)
