"""Backfill: what was not recorded is downloaded, and nothing else; no error ends it."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest

from live.conftest import SetClock
from live.markets import BTC, QQQ, QUICK, SPY, Markets, between, new_york, record, session
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.live.backfill.backfill import Backfill
from lumibot_duckdb.live.rest_bars import RestBars
from lumibot_duckdb.sources.retry_policy import RetryPolicy
from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import StoreBusyError
from sources.alpaca.server import KEY, SECRET, Action
from sources.ccxt.binance_server import KLINES
from wire.loopback import Answer, Fault

BARS = "/v2/stocks/bars"
RECORDED = between(new_york(2, "10:00"), new_york(2, "10:30"))


@pytest.fixture
def storage(tmp_path: Path, set_clock: SetClock) -> DuckDBDataStorage:
    set_clock(new_york(2, "12:00"))
    return DuckDBDataStorage(tmp_path)


@pytest.fixture
def backfill(storage: DuckDBDataStorage, markets: Markets) -> Backfill:
    return Backfill(lambda: storage, markets.rest, days=2)


def recorded(storage: DuckDBDataStorage, markets: Markets, key: SeriesKey, within: TimeRange = RECORDED) -> None:
    record(storage, key, markets.bars(key, within), within)
    markets.forget_requests()


def assert_complete(storage: DuckDBDataStorage, markets: Markets, key: SeriesKey, within: TimeRange) -> None:
    """Fail unless the store has the provider's bars of a range."""
    stored, own = storage.read_pandas(storage.pin(key), within), markets.bars(key, within)
    pd.testing.assert_frame_equal(stored.tz_convert("UTC"), own, check_exact=True, check_freq=False)
    assert storage.missing_ranges(key, within) == []


def starts(markets: Markets) -> list[pd.Timestamp]:
    return [pd.Timestamp(request.query["start"]) for request in markets.alpaca.asked(BARS)]


# -- what is downloaded ---------------------------------------------------------------------------------------


def test_trading_time_that_was_not_recorded_is_downloaded_newest_first(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill
) -> None:
    recorded(storage, markets, SPY)
    backfill.round(storage)
    until = new_york(2, "11:44")  # settled, and a minute more
    assert starts(markets) == [new_york(2, "09:30"), new_york(2, "10:30"), new_york(1, "09:30")]
    assert_complete(storage, markets, SPY, session(1))
    assert_complete(storage, markets, SPY, between(new_york(2, "09:30"), until))
    assert (backfill.counts.rounds, backfill.counts.failed) == (1, 0)
    assert backfill.counts.bars == storage.facts(storage.pin(SPY)).rows - len(markets.bars(SPY, RECORDED))
    markets.alpaca.requests.clear()
    backfill.round(storage)
    assert starts(markets) == []


def test_an_outage_is_filled_when_it_is_over(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill, set_clock: SetClock
) -> None:
    recorded(storage, markets, SPY, between(new_york(1, "09:30"), new_york(2, "10:30")))
    set_clock(new_york(2, "10:45"))
    backfill.round(storage)
    markets.alpaca.faults.append(Fault(BARS, times=100, answer=Answer({"message": "down"}, 503)))
    set_clock(new_york(2, "13:00"))
    backfill.round(storage)
    assert backfill.counts.failed == 1
    markets.alpaca.faults.clear()
    markets.alpaca.requests.clear()
    backfill.round(storage)
    assert_complete(storage, markets, SPY, between(new_york(1, "09:30"), new_york(2, "12:44")))
    assert starts(markets)[0] == new_york(2, "10:30")


@pytest.mark.parametrize(("minutes", "end"), [("0", "11:43:59"), ("30", "11:29:59")])
def test_the_latest_bars_are_not_requested(
    storage: DuckDBDataStorage, markets: Markets, monkeypatch: pytest.MonkeyPatch, minutes: str, end: str
) -> None:
    monkeypatch.setenv("LUMIBOT_SHARED_BARS_SETTLE_MINUTES", minutes)
    recorded(storage, markets, SPY)
    Backfill(lambda: storage, markets.rest, days=1).round(storage)
    ends = [pd.Timestamp(request.query["end"]) for request in markets.alpaca.asked(BARS)]
    assert max(ends) == new_york(2, end)


def test_series_of_backtests_alone_are_left_alone(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill, set_clock: SetClock
) -> None:
    storage.store_ohlcv_data("QQQ", markets.bars(QQQ, RECORDED), "alpaca", "minute", adjustment="all")
    recorded(storage, markets, SPY)
    record(storage, SeriesKey(SPY.asset, "alpaca_live", "minute"), markets.bars(SPY, RECORDED), RECORDED)
    backfill.round(storage)
    assert {request.query["symbols"] for request in markets.alpaca.asked(BARS)} == {"SPY"}
    markets.alpaca.requests.clear()
    set_clock(new_york(2, "12:00") + pd.Timedelta(days=30))
    backfill.round(storage)
    assert markets.alpaca.asked(BARS) == []


def test_a_split_restates_what_was_recorded_before(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill, set_clock: SetClock
) -> None:
    """Bars that are recorded after a split do not fit those before it, and a backtest would not look."""
    with mock.patch("lumibot_duckdb.storage.times.clock.utc_now", return_value=new_york(1, "16:30").to_pydatetime()):
        recorded(storage, markets, SPY, session(1))
    markets.alpaca.actions.append(Action("SPY", new_york(2, "00:00").date().isoformat(), before=1, after=4))
    recorded(storage, markets, SPY)
    backfill.round(storage)
    assert_complete(storage, markets, SPY, session(1))
    assert_complete(storage, markets, SPY, RECORDED)


def test_what_waits_in_the_spool_is_not_missing(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill
) -> None:
    recorded(storage, markets, SPY, between(new_york(1, "09:30"), new_york(2, "11:00")))
    rest_of_it = between(new_york(2, "11:00"), new_york(2, "11:44"))
    bars = markets.bars(SPY, rest_of_it)
    with mock.patch.object(storage._store, "write", side_effect=StoreBusyError("held")):
        storage.store_ohlcv_data(
            "SPY", bars, "alpaca", "minute", adjustment="all", covered=rest_of_it, provisional=(), spool=True
        )
    markets.alpaca.requests.clear()
    backfill.round(storage)
    assert markets.alpaca.asked(BARS) == []


# -- faults ---------------------------------------------------------------------------------------------------


def test_a_refused_key_is_reported_once_and_other_providers_go_on(
    storage: DuckDBDataStorage, markets: Markets, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(storage, markets, SPY)
    recorded(storage, markets, QQQ)
    recorded(storage, markets, BTC)
    backfill = Backfill(lambda: storage, RestBars({}, retry_policy=QUICK), days=1)
    for _ in range(2):
        backfill.round(storage)
    assert caplog.text.count("There is no Alpaca API key") == 1
    assert backfill.counts.failed == 0
    assert_complete(storage, markets, BTC, between(new_york(2, "00:00"), new_york(2, "11:44")))


def test_it_ends_while_an_exchange_fails(storage: DuckDBDataStorage, markets: Markets) -> None:
    """The pause between two attempts would be half a minute."""
    recorded(storage, markets, BTC)
    markets.forget_requests()
    markets.binance.faults.append(Fault(KLINES, times=9, answer=Answer({"msg": "maintenance"}, 503)))
    patient = RetryPolicy(fault_pause=30.0)
    backfill = Backfill(lambda: storage, RestBars({}, retry_policy=patient), days=1)
    backfill.start()
    while not markets.binance.asked(KLINES):
        time.sleep(0.005)
    assert backfill.close(10)
    assert backfill.counts.rounds == 0


def test_splits_that_cannot_be_requested_are_reported_once_a_day(
    storage: DuckDBDataStorage,
    markets: Markets,
    backfill: Backfill,
    set_clock: SetClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorded(storage, markets, SPY)
    markets.alpaca.entitled = False
    for _ in range(3):
        backfill.round(storage)
    assert caplog.text.count("the splits and dividends of SPY could not be checked") == 1
    assert_complete(storage, markets, SPY, session(1))
    set_clock(new_york(3, "12:00"))
    backfill.round(storage)
    assert caplog.text.count("the splits and dividends of SPY could not be checked") == 2


def test_bars_that_lumibot_would_refuse_are_not_stored(
    storage: DuckDBDataStorage, markets: Markets, backfill: Backfill, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(storage, markets, SPY)
    bars = {"SPY": [{"t": "2024-03-13T14:40:00Z", "o": 1, "h": 0, "l": 2, "c": 1, "v": 1, "n": 1, "vw": 1}]}
    markets.alpaca.faults.append(Fault(BARS, times=100, answer=Answer({"bars": bars, "next_page_token": None})))
    rows = storage.facts(storage.pin(SPY)).rows
    backfill.round(storage)
    assert storage.facts(storage.pin(SPY)).rows == rows
    assert "Alpaca returned invalid bars" in caplog.text


def test_the_thread_survives_every_error(
    storage: DuckDBDataStorage, markets: Markets, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(storage, markets, SPY)
    errors = [StoreBusyError("the store is held"), RuntimeError("a bug"), StoreBusyError("the store is held")]
    tried = threading.Semaphore(0)

    def opened() -> DuckDBDataStorage:
        tried.release()
        if errors:
            raise errors.pop(0)
        return storage

    backfill = Backfill(opened, markets.rest, days=1, every_seconds=0.01)
    backfill.start()
    backfill.start()
    for _ in range(4):
        assert tried.acquire(timeout=20)
    while not backfill.counts.rounds:
        threading.Event().wait(0.01)
    assert backfill.close(20)
    assert_complete(storage, markets, SPY, between(new_york(2, "09:30"), new_york(2, "11:44")))
    assert [each.levelno for each in caplog.records] == [logging.WARNING, logging.ERROR]
    assert SECRET not in caplog.text
    assert KEY not in caplog.text


def test_closing_stops_it_after_the_current_response(storage: DuckDBDataStorage, markets: Markets) -> None:
    for key in (SPY, QQQ):
        recorded(storage, markets, key)
    under_way, answer = threading.Event(), threading.Event()
    note = markets.alpaca.note

    def noted(request: object) -> Fault | None:
        if getattr(request, "path", "") == BARS:
            under_way.set()
        return note(request)  # type: ignore[arg-type]

    markets.alpaca.faults.append(Fault(BARS, until=answer))
    backfill = Backfill(lambda: storage, markets.rest)
    with mock.patch.object(markets.alpaca, "note", noted):
        backfill.start()
        assert under_way.wait(20)
        assert not backfill.close(0.01)  # the request is under way
        answer.set()
        assert backfill.close(20)
    assert len(markets.alpaca.asked(BARS)) == 1
    assert backfill.counts.rounds == 0
    assert backfill.counts.bars > 0


def test_waking_begins_a_round(storage: DuckDBDataStorage, markets: Markets) -> None:
    backfill = Backfill(lambda: storage, markets.rest, every_seconds=3_600)
    backfill.start()
    try:
        for number in (1, 2):
            backfill.wake()
            for _ in range(2_000):
                if backfill.counts.rounds >= number:
                    break
                threading.Event().wait(0.01)
            assert backfill.counts.rounds >= number
    finally:
        assert backfill.close(20)


def test_its_settings(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ValueError, match="one day or more, not 0"):
        Backfill(lambda: storage, days=0)
    assert Backfill(lambda: storage).close(0)


def test_it_uses_a_part_of_the_rate_limit(markets: Markets) -> None:
    rest = RestBars({"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET}, share=0.25)
    assert rest.alpaca()._throttle._per_minute == 45
    assert rest.alpaca()._workers == 1
    slow, usual = (each.exchange("binance")._exchange for each in (rest, markets.rest))  # type: ignore[attr-defined]
    assert slow.rateLimit == pytest.approx(4 * usual.rateLimit)
    with pytest.raises(ValueError, match="polygon cannot be downloaded here, only those from alpaca and ccxt"):
        next(rest.responses(SeriesKey(SPY.asset, "polygon", "minute"), [RECORDED]))
