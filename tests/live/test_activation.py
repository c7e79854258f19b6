"""`live.activate()` and `live.deactivate()`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest
from lumibot.data_sources.interactive_brokers_rest_data import InteractiveBrokersRESTData
from lumibot.tools import shared_bar_cache, yahoo_helper

from live.crossing import Crossing
from live.live_loop import MINUTE, Market, stepped
from lumibot_duckdb import DuckDBDataStorage, live
from lumibot_duckdb.live.activation import LiveCounts
from lumibot_duckdb.live.backfill.late_backfill import LateBackfill
from lumibot_duckdb.results import LiveSessions
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SERIES = shared_bar_cache.BarSeries.make(
    "ccxt", "BTC/USDT", "1minute", scope=None, adjusted=False, exchange="binance", sandbox=False
)
KEY = SeriesKey(AssetKey("BTC", "crypto", "USDT", exchange="binance"), "ccxt", "minute")


@pytest.fixture(autouse=True)
def _deactivated() -> Iterator[None]:
    yield
    live.deactivate()


def read() -> pd.DataFrame:
    """Read an hour of bars that ended an hour ago."""
    end = pd.Timestamp.now("UTC").floor("min") - pd.Timedelta("1h")

    def fetch(start: pd.Timestamp, stop: pd.Timestamp) -> pd.DataFrame:
        index = pd.date_range(start.ceil("min"), stop, freq="min", inclusive="left")
        return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), index=index)

    return shared_bar_cache.read_bars(SERIES, end - pd.Timedelta("59min"), end, fetch)


def functions() -> list[object]:
    """Return what activation wraps."""
    return [
        shared_bar_cache.read_bars_many,
        InteractiveBrokersRESTData.get_historical_prices,
        yahoo_helper.YahooHelper.download_symbol_data,
    ]


def test_reads_are_recorded_from_activation_to_deactivation(tmp_path: Path) -> None:
    before = functions()
    active = live.activate(tmp_path, backfill=False)
    assert active is not None
    assert all(ours is not theirs for ours, theirs in zip(functions(), before, strict=True))
    frame = read()
    live.deactivate()
    assert functions() == before
    read()
    assert active.counts == LiveCounts(recorded=60, waiting=0, lost=0)
    found = DuckDBDataStorage(tmp_path).get_historical_prices(KEY.asset, timeframe="minute")
    assert found["close"].tolist() == frame["close"].tolist()
    assert active.store == tmp_path / "lumibot.duckdb"


def test_activation_is_idempotent_and_has_one_store(tmp_path: Path) -> None:
    active = live.activate(tmp_path / "one", backfill=False)
    assert live.activate() is active
    assert live.activate(tmp_path / "one", backfill=False) is active
    with pytest.raises(ValueError, match=r"recorded in .*one.* already: call live.deactivate\(\) before"):
        live.activate(tmp_path / "two", backfill=False)
    live.deactivate()
    live.deactivate()
    again = live.activate(tmp_path / "two", backfill=False)
    assert again is not None
    assert again.store.parent.name == "two"


def test_wrappers_of_other_code_survive_deactivation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shared_bar_cache.read_bars_many
    live.activate(tmp_path, backfill=False)
    ours = shared_bar_cache.read_bars_many

    def theirs(*arguments: object, **options: object) -> object:
        return ours(*arguments, **options)

    monkeypatch.setattr(shared_bar_cache, "read_bars_many", theirs)
    live.deactivate()
    assert shared_bar_cache.read_bars_many is theirs
    shared_bar_cache.read_bars_many = before


@pytest.mark.usefixtures("clean_directory")
def test_sessions_are_recorded_from_activation_to_deactivation(tmp_path: Path) -> None:
    start = datetime(2024, 6, 3, 10, tzinfo=timezone.utc)

    def trade() -> None:
        market = Market(start, 200)
        stepped(Crossing, market, start + 60 * MINUTE, 5, risk_free_rate=0.0, benchmark_asset=None)

    for results in (None, tmp_path / "mine.duckdb"):
        active = live.activate(tmp_path, results, backfill=False)
        assert active is not None
        trade()
        live.deactivate()
        trade()
        sessions = LiveSessions(results_path(results, active.store))
        assert sessions.summary().num_rows == 1
        assert sessions.session("Crossing-live").record.store == str(active.store)


def test_bars_are_stored_before_the_backfill_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that cannot be reached must not cost the time in which bars could be stored."""
    active = live.activate(tmp_path, backfill=False)
    assert active is not None
    counts = []
    monkeypatch.setattr(LateBackfill, "close", lambda *arguments: counts.append(active.counts))
    read()
    live.deactivate()
    assert counts == [LiveCounts(recorded=60, waiting=0, lost=0)]


def test_an_unknown_lumibot_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = functions()
    monkeypatch.setattr(live.activation, "keeps_contract", lambda part, otherwise: False)
    assert live.activate(tmp_path, backfill=False) is None
    assert functions() == before


IMPORTED_LATER = """
import sys
from lumibot_duckdb import live
live.activate(sys.argv[1], backfill=False)
assert not any(name.startswith("lumibot.") for name in sys.modules)
from lumibot.strategies.strategy import Strategy
from lumibot.strategies.strategy_executor import StrategyExecutor
assert hasattr(StrategyExecutor.run, "__wrapped__") and hasattr(Strategy.get_last_price, "__wrapped__")
"""


def test_lumibot_may_be_imported_after_activation(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", IMPORTED_LATER, str(tmp_path)], check=True, cwd=tmp_path)
