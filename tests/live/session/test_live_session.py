"""A session of Lumibot's real live loop is recorded as the strategy saw it, and the strategy does not notice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lumibot.entities import Asset, Bars
from lumibot.strategies import Strategy

from live.crossing import Crossing
from live.live_loop import MINUTE, USD, Market, MarketBroker, real_time, stepped
from lumibot_duckdb.live.session import observer
from lumibot_duckdb.live.session.events import PRICES
from lumibot_duckdb.live.session.observer import asset_name
from lumibot_duckdb.live.session.recording import SessionRecording
from lumibot_duckdb.live.session.session_rows import rebuilt_frames
from lumibot_duckdb.lumibot_contract import live_session_hooks
from lumibot_duckdb.results import LiveSessions

pytestmark = [pytest.mark.usefixtures("clean_directory")]
START = datetime(2024, 6, 3, 10, 0, tzinfo=timezone.utc)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Callable[..., SessionRecording]]:
    made = []

    def record(**settings: Any) -> SessionRecording:
        recording = SessionRecording(tmp_path / "my-results.duckdb", **settings)
        assert recording.install()
        made.append(recording)
        return recording

    yield record
    for recording in made:
        recording.close()
        recording.uninstall()


def traded(strategy: type[Strategy], market: Market, steps: int = 30, **more: Any) -> Any:
    return stepped(strategy, market, START + 60 * MINUTE, steps, risk_free_rate=0.0, benchmark_asset=None, **more)


class Overwriting(Crossing):
    """Changes the frames that it gets, once it has seen them."""

    def used(self, frame: Any) -> None:
        frame["close"] = 0.0


def test_what_the_strategy_saw_and_did_is_stored(recorded: Callable[..., SessionRecording]) -> None:
    recording = recorded(command="crossing.py --key key-of-a-broker-123", store="bars.duckdb")
    strategy = traded(Overwriting, Market(START, 200))
    sessions = LiveSessions(recording.path)
    stored, tables = sessions.session("Overwriting-live"), sessions.tables("Overwriting-live")
    assert (stored.status, stored.lost, stored.record.store) == ("complete", 0, "bars.duckdb")
    assert stored.record.settings["parameters"] == {"length": 10, "api_key": "[hidden]"}
    assert stored.record.settings["inexact_parameters"] == ["api_key"]
    assert stored.record.settings["market"] == "24/7"
    assert stored.record.settings["class"] == "Overwriting"

    found = list(rebuilt_frames(tables["live_requests"], tables["live_bars"]))
    assert [row["method"] for row, _ in found] == ["history", "last_price"] * 30
    for (row, frame), (price, _), (seen, seen_price) in zip(found[::2], found[1::2], strategy.seen, strict=True):
        assert frame is not None
        assert frame.times.tolist() == (seen.index.as_unit("us").asi8).tolist()
        np.testing.assert_array_equal(frame.values, seen[list(PRICES)].to_numpy())
        assert price["price"] == seen_price
        assert (row["asset"], row["timestep"], row["length"], row["bars"]) == ("AAA", "minute", 10, 10)

    log = strategy.broker._trade_event_log_df
    trades = tables["trades"].to_pandas()
    assert trades["order_id"].tolist() == log["identifier"].tolist()
    assert trades["event"].tolist() == log["status"].map(str).tolist()
    np.testing.assert_array_equal(trades["price"], log["price"].astype(float))
    assert len(trades) > 4
    orders = tables["live_orders"].to_pandas()
    assert orders["order_id"].tolist() == log["identifier"].drop_duplicates().tolist()
    assert set(orders["quantity"]) == {10.0}

    equity = tables["equity"].to_pandas()
    assert equity.iloc[0].tolist() == [START + 60 * MINUTE, 100_000.0, 100_000.0]
    equity = equity.iloc[1:]
    values = {row["datetime"]: row["portfolio_value"] for row in strategy._stats_list}
    assert equity["value"].tolist() == [values[time] for time in equity["time"]]
    assert equity["value"].iloc[-1] == strategy.portfolio_value


def test_a_restart_begins_a_session_with_a_number(recorded: Callable[..., SessionRecording]) -> None:
    recording = recorded(name="mine")
    for _ in range(2):
        traded(Crossing, Market(START, 200), 2)
    rows = LiveSessions(recording.path).summary().to_pylist()
    assert [(row["sweep"], row["status"], row["requests"]) for row in rows] == [
        ("mine", "complete", 4),
        ("mine-2", "complete", 4),
    ]
    assert sorted(recording.counts) == ["mine", "mine-2"]


class Asking(Strategy):
    """Requests in every way, also what does not exist."""

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.errors: list[str] = []

    def on_trading_iteration(self) -> None:
        self.get_historical_prices_for_assets(["AAA", Asset("BBB")], 3, "minute")
        self.get_historical_prices((Asset("AAA"), USD), 2, "minute")
        self.get_historical_prices("AAA", length=2, timestep="minute", quote=USD, timeshift=timedelta(0))
        self.get_last_prices(["AAA", "BBB"])
        try:
            self.get_historical_prices("CCC", 2, "minute")
        except KeyError as error:
            self.errors.append(str(error))


def test_each_asset_of_a_request_has_a_row(recorded: Callable[..., SessionRecording]) -> None:
    recording = recorded()
    strategy = traded(Asking, Market(START, 200, ("AAA", "BBB")), 1)
    assert strategy.errors == ["'CCC'"]
    rows = LiveSessions(recording.path).tables("Asking-live")["live_requests"].to_pylist()
    assert [(row["method"], row["asset"], row["arguments"], row["bars"], row["error"]) for row in rows] == [
        ("history", "AAA", "", 3, None),
        ("history", "BBB", "", 3, None),
        ("history", "AAA/USD", "", 2, None),
        ("history", "AAA/USD", "timeshift=0:00:00", 2, None),
        ("last_price", "AAA", "", None, None),
        ("last_price", "BBB", "", None, None),
        ("history", "CCC", "", None, "KeyError"),
    ]


def test_held_events_and_dictionaries_are_stored_once(recorded: Callable[..., SessionRecording]) -> None:
    """Lumibot holds events back while it synchronises, and logs dictionaries if it audits."""

    class Partly(Strategy):
        def initialize(self) -> None:
            self.sleeptime = "1M"

        def on_trading_iteration(self) -> None:
            order = self.create_order("AAA", 10, "sell", limit_price=120.5)
            broker = self.broker
            self.submit_order(order)
            broker._process_trade_event(order, broker.PARTIALLY_FILLED_ORDER, price=120.5, filled_quantity=4)
            broker._hold_trade_events = True
            broker._process_trade_event(order, broker.CANCELED_ORDER)
            broker._hold_trade_events = False
            broker._backtest_audit_enabled = True
            broker.process_held_trades()

    recording = recorded()
    traded(Partly, Market(START, 200), 1)
    tables = LiveSessions(recording.path).tables("Partly-live")
    columns = ["event", "asset", "side", "type", "quantity", "price", "order_id"]
    new, part, canceled = tables["trades"].select(columns).to_pylist()
    common = {"asset": "AAA", "side": "sell", "type": "limit", "order_id": "order-1"}
    assert new == {**common, "event": "new", "quantity": None, "price": None}
    assert part == {**common, "event": "partial_fill", "quantity": 4.0, "price": 120.5}
    assert canceled == {**common, "event": "canceled", "quantity": None, "price": None}
    (order,) = tables["live_orders"].to_pylist()
    assert (order["quantity"], order["limit_price"], order["stop_price"]) == (10.0, 120.5, None)


def test_an_error_while_recording_never_reaches_the_strategy(
    recorded: Callable[..., SessionRecording], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("broken")

    expected = traded(Crossing, Market(START, 200), 5)
    recording = recorded()
    monkeypatch.setattr(live_session_hooks, "_warned", False)
    for name in ("_seen", "_microseconds"):
        monkeypatch.setattr(observer, name, broken)
    caplog.set_level(logging.WARNING, "lumibot_duckdb")
    strategy = traded(Crossing, Market(START, 200), 5)
    assert [price for _, price in strategy.seen] == [price for _, price in expected.seen]
    assert len(strategy.broker._trade_event_log_df) == len(expected.broker._trade_event_log_df)
    assert sum("could not record a part of this live session" in message for message in caplog.messages) == 1
    assert LiveSessions(recording.path).session("Crossing-live").status == "complete"


def test_nothing_is_recorded_of_a_strategy_that_is_not_observed(tmp_path: Path) -> None:
    assert len(traded(Crossing, Market(START, 200), 2).seen) == 2
    assert not (tmp_path / "my-results.duckdb").exists()


def test_a_session_in_lumibots_trader(recorded: Callable[..., SessionRecording]) -> None:
    class EachSecond(Crossing):
        def initialize(self) -> None:
            super().initialize()
            self.sleeptime = "1S"

    recording = recorded(pause_seconds=0.5)
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    market = Market(now - 60 * MINUTE, 120)
    strategy = EachSecond(broker=MarketBroker(market), quote_asset=USD, risk_free_rate=0.0, benchmark_asset=None)
    real_time(strategy, 2.5)
    sessions = LiveSessions(recording.path)
    tables = sessions.tables("EachSecond-live")
    assert sessions.session("EachSecond-live").status == "complete"
    assert len(tables["live_requests"]) == 2 * len(strategy.seen) >= 2
    assert all(
        frame is not None for row, frame in rebuilt_frames(tables["live_requests"], tables["live_bars"]) if row["bars"]
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_are_the_same_in_every_unit(unit: str) -> None:
    index = pd.date_range("2024-06-03 09:30", periods=3, freq="min", tz="America/New_York").as_unit(unit)
    volume = pd.array([1, None, 3], "Int64") if unit == "s" else [1, None, 3]
    frame = pd.DataFrame({"close": pd.Series([1, 2, 3], index, object), "volume": volume}, index)
    asset = Asset("AAA")
    for bars in (Bars(frame, "x", asset, raw=frame), Bars(frame.iloc[[2, 0, 1, 1]], "x", asset, raw=frame)):
        seen = observer._seen(bars)
        assert seen.times.tolist() == [int(time.timestamp()) * 1_000_000 for time in index]
        np.testing.assert_array_equal(seen.values[:, 3:], [[1.0, 1.0], [2.0, np.nan], [3.0, 3.0]])
        assert np.isnan(seen.values[:, :3]).all()


def test_polars_frames_are_seen_as_pandas_frames_are() -> None:
    index = pd.date_range("2024-06-03 09:30", periods=3, freq="min", tz="America/New_York", name="datetime")
    frame = pd.DataFrame(np.tile([[1.0], [2.0], [3.0]], 5), index, columns=list(PRICES))
    polars = pl.from_pandas(frame.reset_index())
    bars = Bars(polars, "x", Asset("AAA"), raw=polars, return_polars=True)
    pandas_bars = Bars(frame, "x", Asset("AAA"), raw=frame)
    one, other = observer._seen(bars), observer._seen(pandas_bars)
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ("SPY", "SPY"),
        (Asset("SPY"), "SPY"),
        ((Asset("BTC", "crypto"), Asset("USDT", "crypto")), "BTC/USDT"),
        (
            Asset("SPY", "option", expiration=datetime(2024, 6, 21).date(), strike=500, right="CALL"),
            "SPY 2024-06-21 500 CALL",
        ),
        (Asset("ES", "future", expiration=datetime(2024, 6, 21).date()), "ES 2024-06-21"),
    ],
)
def test_names_of_assets(asset: Any, name: str) -> None:
    assert asset_name(asset) == name
