"""What `AlpacaData` reads is recorded, and equals what `AlpacaBacktesting` downloads from the same server later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytz
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.data_sources import alpaca_data
from lumibot.data_sources.alpaca_data import AlpacaData
from lumibot.entities import Asset

from live.reads.moments import SetClock, set_clock
from live.reads.recorders import KeptBars, recorded, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import AlpacaBacktesting
from lumibot_duckdb.demo.market import crypto_bars, us_stock_bars
from lumibot_duckdb.live.reads import read_recording
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from parity.ground import silence
from sources.alpaca.server import Action, AlpacaServer
from sources.alpaca.sides import CONFIG, Side

NEW_YORK = pytz.timezone("America/New_York")
NOW = NEW_YORK.localize(dt.datetime(2024, 3, 12, 11, 0, 30))
FIRST, END = dt.date(2024, 2, 26), dt.date(2024, 3, 16)
SPY = Asset("SPY")
MINUTES = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    frame = us_stock_bars("SPY", FIRST, END)
    prices = frame[["open", "high", "low", "close"]]
    return frame.assign(high=prices.max(axis=1), low=prices.min(axis=1))


@pytest.fixture
def server(bars: pd.DataFrame) -> Iterator[AlpacaServer]:
    with AlpacaServer() as server:
        server.serve("stock", "SPY", bars)
        server.serve("stock", "QQQ", bars * 2)
        yield server


@dataclass
class Live:
    """A live source, the clock, and what is recorded of it."""

    source: AlpacaData
    clock: SetClock
    kept: KeptBars
    storage: DuckDBDataStorage
    end: Callable[[], None]


@contextmanager
def live(folder: Path, server: AlpacaServer, **settings: Any) -> Iterator[Live]:
    """Trade live on Tuesday at eleven."""
    side = Side(AlpacaBacktesting, folder)
    variables, read_filter = settings.pop("variables", {}), settings.pop("read_filter", None)
    with side.entered(server, **variables), silence(), set_clock(NOW, alpaca_data) as clock:
        storage = DuckDBDataStorage(side.store)
        with recorded(storage, read_filter) as (kept, end):
            yield Live(AlpacaData(dict(CONFIG), **settings), clock, kept, storage, end)


def downloaded(folder: Path, server: AlpacaServer, *timesteps: str) -> DuckDBDataStorage:
    """Download the days before with the backtests' source, into another store, and return that."""
    side = Side(AlpacaBacktesting, folder)
    with side.entered(server), silence():
        start, end = (NEW_YORK.localize(dt.datetime(2024, 3, day)) for day in (4, 13))
        source = side.source(start, end, timestep="minute", full_window=True)
        source._datetime = end + dt.timedelta(hours=-1)
        for timestep in timesteps or ("minute",):
            source.get_historical_prices(SPY, 5, timestep)
        source.shutdown()
        return DuckDBDataStorage(side.store)


def assert_same_bars(ours: DuckDBDataStorage, theirs: DuckDBDataStorage, key: SeriesKey) -> int:
    """Check that every recorded range has the downloaded bars, all of them; return how many there are."""
    compared = 0
    for piece in ours.coverage(key):
        expected = stored(theirs, key, piece)
        pd.testing.assert_frame_equal(stored(ours, key, piece), expected)
        compared += len(expected)
    assert compared == len(stored(ours, key))
    return compared


def test_recorded_minutes_are_those_that_a_backtest_downloads(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path / "live", server) as trading:
        for _ in range(3):
            frame = trading.source.get_historical_prices(SPY, 60, "minute").df
            assert len(frame) == 60
            trading.clock.let_pass(minutes=1)
    later = downloaded(tmp_path / "later", server)
    ours = trading.storage
    assert assert_same_bars(ours, later, MINUTES) > 60
    last = stored(ours, MINUTES).index[-1]
    # The last read was at 11:02:30, when all bars that had ended by 10:47:30 were settled.
    assert last == pd.Timestamp("2024-03-12 10:46", tz="America/New_York")


@pytest.mark.long
def test_days_and_larger_bars_are_those_that_a_backtest_downloads(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path / "live", server) as trading:
        for timestep in ("day", "hour", "5min"):
            assert trading.source.get_historical_prices(SPY, 5, timestep) is not None
    later = downloaded(tmp_path / "later", server, "day", "hour")
    for timeframe in ("day", "hour"):
        assert assert_same_bars(trading.storage, later, SeriesKey(MINUTES.asset, "alpaca", timeframe, "all")) >= 5
    days = stored(trading.storage, SeriesKey(MINUTES.asset, "alpaca", "day", "all"))
    assert days.index[-1].day == 11  # Tuesday is not over
    assert {each.key.timeframe for each in trading.kept.kept} == {"day", "hour", "5minute"}


def test_coins_and_options_are_recorded_without_adjustment(tmp_path: Path, server: AlpacaServer) -> None:
    coin = crypto_bars("BTC", dt.date(2024, 3, 8), END)
    server.serve("crypto", "BTC/USD", coin)
    server.serve("option", "SPY240315C00500000", us_stock_bars("SPY", dt.date(2024, 3, 8), END).iloc[::7])
    option = Asset("SPY", "option", expiration=dt.date(2024, 3, 15), strike=500, right="CALL")
    with live(tmp_path, server) as trading:
        trading.source.get_historical_prices(Asset("BTC", "crypto"), 30, "minute", quote=Asset("USD", "forex"))
        trading.source.get_historical_prices(Asset("BTC", "crypto"), 2, "day", quote=Asset("USD", "forex"))
        trading.source.get_historical_prices(option, 30, "minute")
    minutes = SeriesKey(AssetKey("BTC", "crypto", "USD"), "alpaca", "minute")
    assert stored(trading.storage, minutes).index[-1] == pd.Timestamp("2024-03-12 10:44", tz="America/New_York")
    # Days of coins begin at midnight in Chicago.
    last_day = stored(trading.storage, SeriesKey(minutes.asset, "alpaca", "day")).index[-1]
    assert last_day == pd.Timestamp("2024-03-11", tz="America/Chicago")
    contract = AssetKey("SPY", "option", expiration=dt.date(2024, 3, 15), strike=500.0, right="CALL")
    assert len(stored(trading.storage, SeriesKey(contract, "alpaca", "minute"))) >= 30


def test_unadjusted_bars_are_kept_apart(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server, auto_adjust=False) as trading:
        trading.source.get_historical_prices(SPY, 30, "minute")
    assert {each.key for each in trading.kept.kept} == {SeriesKey(MINUTES.asset, "alpaca_live", "minute")}


@pytest.mark.long
def test_several_symbols_are_read_with_one_request(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server) as trading:
        found = trading.source.get_bars([SPY, Asset("QQQ")], 30, "minute")
        assert len(found) == 2
        assert len(server.asked("stocks/bars")) == 1
    spy, qqq = (
        stored(trading.storage, SeriesKey(AssetKey(name), "alpaca", "minute", "all")) for name in ("SPY", "QQQ")
    )
    pd.testing.assert_series_equal(spy["close"] * 2, qqq["close"], check_exact=False)


def test_a_strategy_sees_what_it_sees_without_recording(tmp_path: Path, server: AlpacaServer) -> None:
    seen: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for is_recorded, frames in seen.items():
        with live(tmp_path / str(is_recorded), server) as trading:
            if not is_recorded:
                trading.end()
            for timestep in ("minute", "day", "minute"):
                frames.append(trading.source.get_historical_prices(SPY, 50, timestep).df)
                trading.clock.let_pass(minutes=2)
        assert bool(trading.kept.kept) == is_recorded
    for ours, lumibots in zip(seen[True], seen[False], strict=True):
        pd.testing.assert_frame_equal(ours, lumibots, check_exact=True, check_freq=True)
        assert _without_durations(ours) == _without_durations(lumibots)


def _without_durations(frame: pd.DataFrame) -> Any:
    return {name: value for name, value in frame.attrs["historyCache"].items() if not name.endswith("Ms")}


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"LUMIBOT_SHARED_BARS": "off"}, id="without Lumibot's cache"),
        pytest.param({}, marks=pytest.mark.long),
    ],
)
def test_each_bar_is_recorded_once(variables: dict[str, str], tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server, variables=variables) as trading:
        for _ in range(5):
            trading.source.get_historical_prices(SPY, 60, "minute")
            trading.clock.let_pass(minutes=1)
    sizes = [len(each.bars) for each in trading.kept.kept]
    assert sizes[0] > 60
    assert sizes[1:] == [1, 1, 1, 1]


def test_what_lumibots_cache_has_is_recorded_too(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server) as trading:
        trading.end()
        trading.source.get_historical_prices(SPY, 60, "minute")
    assert trading.kept.kept == []
    before = len(server.asked())
    with live(tmp_path, server) as trading:
        trading.clock.let_pass(minutes=3)
        trading.source.get_historical_prices(SPY, 60, "minute")
    (asked,) = server.asked()[before:]
    (kept,) = trading.kept.kept
    assert kept.bars.index[0] < pd.Timestamp(asked.query["start"]) - pd.Timedelta("1h")  # which were not asked for
    assert assert_same_bars(trading.storage, downloaded(tmp_path / "later", server), MINUTES) == len(kept.bars)


def test_a_split_restates_what_was_recorded_before(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server) as trading:
        trading.source.get_historical_prices(SPY, 60, "minute")
        server.actions.append(Action("SPY", "2024-03-13", after=4))
        trading.clock.let_pass(days=1)
        trading.source.get_historical_prices(SPY, 60, "minute")
        trading.clock.let_pass(minutes=1)
        trading.source.get_historical_prices(SPY, 60, "minute")
    assert assert_same_bars(trading.storage, downloaded(tmp_path / "later", server), MINUTES) > 60


@pytest.mark.long
def test_bars_after_a_gap_do_not_hide_a_split_from_backtests(
    tmp_path: Path, server: AlpacaServer, bars: pd.DataFrame
) -> None:
    """After an outage, a read has no bar in common with the stored ones, so nothing shows whether these still fit."""
    server.serve("stock", "SPY", pd.concat([bars.loc[:"2024-03-13"], bars.loc["2024-03-14":] / 4]))  # type: ignore[misc]
    with live(tmp_path, server) as trading:
        trading.source.get_historical_prices(SPY, 1, "minute")
        server.actions.append(Action("SPY", "2024-03-14", after=4))
        trading.clock.let_pass(days=3)
        trading.source.get_historical_prices(SPY, 1, "minute")
    side = Side(AlpacaBacktesting, tmp_path)
    with side.entered(server), silence():
        start, end = (NEW_YORK.localize(dt.datetime(2024, 3, day)) for day in (11, 15))
        source = side.source(start, end, timestep="minute", full_window=True)
        source._datetime = NEW_YORK.localize(dt.datetime(2024, 3, 15, 10, 30))
        closes = source.get_historical_prices(SPY, 1_500, "minute").df["close"]
        source.shutdown()
    assert closes.max() / closes.min() < 1.5


def test_backtests_are_not_recorded(tmp_path: Path, server: AlpacaServer) -> None:
    side = Side(LumibotAlpacaBacktesting, tmp_path)
    with side.entered(server), silence():
        storage = DuckDBDataStorage(side.store)
        with recorded(storage) as (kept, _):
            start, end = (NEW_YORK.localize(dt.datetime(2024, 3, day)) for day in (4, 8))
            source = side.source(start, end, timestep="minute")
            source._datetime = end
            assert source.get_historical_prices(SPY, 60) is not None
            source.shutdown()
    assert len(server.asked("stocks/bars")) > 0
    assert kept.kept == []


class Passing:
    """A filter that leaves everything to the broker."""

    def fetch(self, series: Any, key: SeriesKey, start: Any, stop: Any, fetch: Callable[..., Any]) -> Any:
        return fetch(start, stop)


def test_errors_of_recording_do_not_reach_a_strategy(
    tmp_path: Path, server: AlpacaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no way")

    names = ("proven_ranges", "destination_of", "copied", "is_called_by_backtest", "settle_margin", "GapLog")
    for name in names:
        with live(tmp_path / name, server, read_filter=Passing()) as trading, monkeypatch.context() as patched:
            patched.setattr(read_recording, name, broken)
            assert len(trading.source.get_historical_prices(SPY, 60, "minute").df) == 60
            assert trading.kept.kept == []


def test_what_the_broker_raises_reaches_the_strategy(tmp_path: Path, server: AlpacaServer) -> None:
    with live(tmp_path, server, delay=0) as trading:  # for which the server's plan is too small
        server.recent = False
        trading.clock.now = dt.datetime.now(dt.timezone.utc)
        assert trading.source.get_historical_prices(SPY, 60, "minute") is None
    assert trading.kept.kept == []
