"""`activate()` replaces Lumibot's sources wherever scripts look them up, and nowhere inside Lumibot."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import lumibot.backtesting
import lumibot.data_sources
import pandas as pd
import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.backtesting import RoutedBacktestingPandas, ThetaDataBacktestingPandas
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.entities import Asset
from lumibot.strategies import _strategy

import lumibot_duckdb.backtesting as ours
from activation.activated import activated
from lumibot_duckdb import DuckDBDataStorage, activate, deactivate
from lumibot_duckdb.activation.activation import LUMIBOT_MODULES, in_place_of
from parity.backtests import BacktestResult, assert_same_result, run
from parity.strategies import Crossing
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.market import served
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.market import DOLLAR as TETHER
from sources.ccxt.market import spring
from sources.polygon import sides as polygon_sides
from sources.polygon.market import examples
from sources.polygon.server import KEY, PolygonServer
from sources.yahoo import sides as yahoo_sides
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from wire.loopback import LoopbackServer

pytestmark = pytest.mark.xdist_group("activation")  # what they share is made once

THEIRS = {name: getattr(import_module(home), name) for name, home in LUMIBOT_MODULES.items()}
QQQ = Asset("QQQ")
SPAN = ("2023-03-06", "2023-03-18")


@pytest.fixture(scope="module", autouse=True)
def everything_is_loaded() -> None:
    """Load the classes that tests look up: Lumibot's, and ours, which wrap parts of Lumibot permanently."""
    for name in lumibot.backtesting.__all__:
        getattr(lumibot.backtesting, name)
    for name in LUMIBOT_MODULES:
        getattr(ours, name)


# -- look-ups ----------------------------------------------------------------------------------------


def test_every_name_is_ours_while_active_and_lumibots_afterwards() -> None:
    homes = {name: import_module(home) for name, home in LUMIBOT_MODULES.items()}
    with activated():
        activate()  # once more changes nothing
        for name, home in homes.items():
            mine = getattr(ours, name)
            assert getattr(home, name) is mine
            offered = [module for module in (lumibot.backtesting, lumibot.data_sources) if name in module.__all__]
            assert offered
            assert all(getattr(module, name) is mine for module in offered)
            assert in_place_of(THEIRS[name]) is mine
            if name in _strategy._BACKTESTING_CLASS_MODULES:
                assert _strategy._get_backtesting_class(name) is mine
    deactivate()  # once more changes nothing
    for name, home in homes.items():
        assert getattr(home, name) is THEIRS[name]
        if name in _strategy._BACKTESTING_CLASS_MODULES:
            assert _strategy._get_backtesting_class(name) is THEIRS[name]


def test_all_other_sources_are_lumibots_while_active() -> None:
    others = {
        (module, name): getattr(module, name)
        for module in (lumibot.backtesting, lumibot.data_sources)
        for name in module.__all__
        if name not in LUMIBOT_MODULES
    }
    named = {"ThetaDataBacktestingPandas", "PolymarketBacktesting", "RoutedBacktestingPandas", "DataSourceBacktesting"}
    assert named <= {name for _, name in others}
    ancestors = {key: getattr(value, "__mro__", None) for key, value in others.items()}
    resolved = {name: _strategy._get_backtesting_class(name) for name in _strategy._BACKTESTING_CLASS_MODULES}
    with activated():
        for (module, name), value in others.items():
            assert getattr(module, name) is value
            assert in_place_of(value) is value
            assert getattr(value, "__mro__", None) == ancestors[module, name]
        for name, value in resolved.items():
            if name not in LUMIBOT_MODULES:
                assert _strategy._get_backtesting_class(name) is value


def test_no_module_of_lumibots_sees_anything_else_but_where_backtests_are_started() -> None:
    """Everything that Lumibot's code looks up in its globals is still the same object."""

    def seen() -> dict[tuple[str, str], Any]:
        modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "lumibot"}
        return {(name, key): value for name, module in modules.items() for key, value in vars(module).items()}

    before = seen()
    with activated():
        during = seen()
    after = seen()
    assert before.keys() == during.keys() == after.keys()
    looked_up = {key for key, value in before.items() if during[key] is not value}
    assert looked_up == {
        (_strategy.__name__, name) for name in LUMIBOT_MODULES if name in _strategy._BACKTESTING_CLASS_MODULES
    }
    assert [key for key, value in before.items() if after[key] is not value] == []
    assert type(lumibot.backtesting) is ModuleType


def test_other_names_of_the_changed_modules_can_be_set_and_deleted() -> None:
    with activated():
        lumibot.backtesting.YahooDataBacktesting = "somebody's"
        assert lumibot.backtesting.YahooDataBacktesting == "somebody's"
        del lumibot.backtesting.YahooDataBacktesting
        assert lumibot.backtesting.YahooDataBacktesting is ours.YahooDataBacktesting
        with pytest.raises(AttributeError, match="NoSuchBacktesting"):
            lumibot.backtesting.NoSuchBacktesting  # noqa: B018


LOOKS_UP_LATER = """
import sys
from lumibot_duckdb import activate
activate()
assert not [name for name in sys.modules if name.split(".")[0] in ("lumibot", "pandas", "ccxt", "duckdb")]
from lumibot.backtesting.ccxt_backtesting import CcxtBacktesting
import lumibot.data_sources.yahoo_data as defining
from lumibot.backtesting import *
import lumibot.backtesting, lumibot.data_sources
from lumibot.data_sources import CcxtBacktestingData as Candles, YahooData, PolygonDataBacktesting as Other
from lumibot.data_sources import PandasData
found = [PandasDataBacktesting, CcxtBacktesting, defining.YahooData, YahooData, Candles, Other, AlpacaBacktesting,
         YahooDataBacktesting, PolygonDataBacktesting, lumibot.backtesting.CcxtBacktesting]
assert all(each.__module__.startswith("lumibot_duckdb.sources.") for each in found), found
assert PandasData.__module__ == "lumibot_duckdb.sources.own_bars.source"
assert issubclass(RoutedBacktestingPandas, PandasData)
assert ThetaDataBacktestingPandas.__module__ == "lumibot.backtesting.thetadata_backtesting_pandas"
from lumibot.strategies import Strategy, _strategy
assert _strategy._get_backtesting_class("CcxtBacktesting") is CcxtBacktesting
assert "lumibot_duckdb" not in "".join(base.__module__ for base in RoutedBacktestingPandas.__mro__)
for each in found:
    theirs = [base for base in each.__mro__ if base.__module__.startswith("lumibot.")]
    assert theirs[0].__name__ == each.__name__
    assert "lumibot_duckdb" not in "".join(base.__module__ for base in theirs[0].__mro__)
"""


def test_modules_that_are_imported_later_give_ours_too(tmp_path: Path) -> None:
    """In a process that has not imported Lumibot; the call imports neither Lumibot nor anything else that is slow."""
    ended = subprocess.run([sys.executable, "-c", LOOKS_UP_LATER], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr


# -- names that were imported before -----------------------------------------------------------------------------


@pytest.fixture
def research() -> Iterator[ModuleType]:
    """A user's module that has imported its classes already."""
    module = ModuleType("my_research")
    vars(module).update(
        Yahoo=THEIRS["YahooDataBacktesting"],
        Polygon=THEIRS["PolygonDataBacktesting"],
        Lazy=_strategy.AlpacaBacktesting,
        Own=LumibotPandasDataBacktesting,
        Routed=RoutedBacktestingPandas,
        all_of_them=list(THEIRS.values()),
    )
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_globals_that_were_taken_before_are_ours_while_active(research: ModuleType) -> None:
    before = dict(vars(research))
    with activated():
        assert research.Yahoo is ours.YahooDataBacktesting
        assert research.Polygon is ours.PolygonDataBacktesting
        assert research.Lazy is ours.AlpacaBacktesting
        assert research.Own is ours.PandasDataBacktesting
        assert research.Routed is RoutedBacktestingPandas
        research.Polygon = "the person's own"
    assert research.Polygon == "the person's own"
    assert all(vars(research)[name] is value for name, value in before.items() if name != "Polygon")


class Busy:
    """Does work as soon as an attribute is accessed."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def test_what_others_put_there_before_is_left_alone(research: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(THEIRS["PolygonDataBacktesting"]):  # type: ignore[name-defined,misc]
        pass

    monkeypatch.setattr(_strategy, "PolygonDataBacktesting", Own)
    research.busy, research.Own = Busy(), Own
    with activated():
        assert _strategy._get_backtesting_class("PolygonDataBacktesting") is Own
        assert research.Own is Own
    assert _strategy._get_backtesting_class("PolygonDataBacktesting") is Own


# -- backtests ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def yahoo() -> Iterator[YahooServer]:
    days = new_york_days("2022-06-01", "2023-06-30")
    with YahooServer(instruments={"QQQ": Instrument(walk(days, 1, price=300.0), kind="ETF")}) as server:
        server.now = pd.Timestamp("2023-06-30 20:00", tz="America/New_York").tz_convert("UTC")
        yield server


def backtest(side: yahoo_sides.Side, server: YahooServer, source: Any, **settings: Any) -> BacktestResult:
    parameters = {"assets": [QQQ], "sleeptime": "1D", "step": "day", "length": 5}
    with side.entered(server):
        return run(Crossing, source, side.folder / "run", *SPAN, parameters, **settings)


def started_with_class(side: yahoo_sides.Side, server: YahooServer) -> BacktestResult:
    return backtest(side, server, LumibotYahooDataBacktesting)


def started_by_the_environment(side: yahoo_sides.Side, server: YahooServer) -> BacktestResult:
    with side.entered(server), pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKTESTING_DATA_SOURCE", "yahoo")
        parameters = {"assets": [QQQ], "sleeptime": "1D", "step": "day", "length": 5}
        return run(Crossing, LumibotPandasDataBacktesting, side.folder / "run", *SPAN, parameters)


STARTS = [started_with_class, started_by_the_environment]


@pytest.mark.parametrize("start", STARTS)
def test_a_backtest_on_lumibots_class_runs_on_the_store(start: Any, tmp_path: Path, yahoo: YahooServer) -> None:
    theirs, mine = (yahoo_sides.Side(None, tmp_path / name) for name in ("theirs", "ours"))
    expected = start(theirs, yahoo)
    with activated():
        actual = start(mine, yahoo)
    assert_same_result(expected, actual, fills=1)
    assert type(expected.strategy.broker.data_source) is LumibotYahooDataBacktesting
    assert type(actual.strategy.broker.data_source) is ours.YahooDataBacktesting
    assert [info.key.source for info in DuckDBDataStorage(mine.store).list_series()] == ["yahoo"]
    assert list(mine.pickles.rglob("*.pickle")) == []
    assert not theirs.store.exists()


def test_the_switch_gives_lumibots_behaviour_back_while_active(
    tmp_path: Path, yahoo: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = yahoo_sides.Side(None, tmp_path)
    with side.entered(yahoo), activated():
        monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "false")
        parameters = {"assets": [QQQ], "sleeptime": "1D", "step": "day", "length": 5}
        result = run(Crossing, LumibotYahooDataBacktesting, tmp_path / "run", *SPAN, parameters)
    assert result.strategy.broker.data_source.use_duckdb is False
    assert list(side.pickles.rglob("*.pickle")) != []
    assert not side.store.exists()


@pytest.mark.parametrize("active", [True, False])
def test_a_rollout_takes_its_share_by_the_strategys_name(
    active: bool, tmp_path: Path, yahoo: YahooServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Lumibot's class while active, and with our import."""
    source = LumibotYahooDataBacktesting if active else ours.YahooDataBacktesting
    side = yahoo_sides.Side(None, tmp_path)
    chosen = {}
    with side.entered(yahoo), activated(active):
        monkeypatch.setenv("LUMIBOT_DUCKDB_ROLLOUT", "50")
        for name in ("Pairs", "Reversal"):  # whose places are 20 and 86
            parameters = {"assets": [QQQ], "sleeptime": "1D", "step": "day", "length": 5}
            result = run(Crossing, source, tmp_path / name, "2023-03-06", "2023-03-09", parameters, name=name)
            chosen[name] = result.strategy.broker.data_source.use_duckdb
    assert chosen == {"Pairs": True, "Reversal": False}


@pytest.fixture(scope="module")
def polygon() -> Iterator[PolygonServer]:
    market = examples()
    bars = {**market.bars, ("I:SPX", "minute"): market.bars["SPY", "minute"]}
    with replace(market, bars=bars).served() as server:
        yield server


def test_the_benchmark_of_a_polygon_backtest_comes_from_polygon_while_active(
    tmp_path: Path, polygon: PolygonServer
) -> None:
    """Lumibot asks `type(source) == PolygonDataBacktesting` for that."""
    results = {}
    for active in (False, True):
        side = polygon_sides.Side(None, tmp_path / str(active))
        with side.entered(polygon), activated(active):
            parameters = {"assets": [QQQ], "sleeptime": "1D", "step": "day", "length": 4}
            settings = {"polygon_api_key": KEY, "benchmark_asset": "SPY"}
            source = THEIRS["PolygonDataBacktesting"]
            results[active] = run(
                Crossing, source, side.folder / "run", "2023-03-06", "2023-03-11", parameters, **settings
            )
    assert_same_result(results[False], results[True])
    benchmarks = [result.strategy._benchmark_returns_df for result in results.values()]
    pd.testing.assert_frame_equal(*benchmarks, check_exact=True)
    assert len(benchmarks[0]) > 3


# -- the router -----------------------------------------------------------------------------------------------


def test_the_router_asks_and_answers_as_it_does_without_us(tmp_path: Path, polygon: PolygonServer) -> None:
    """It calls the Polygon helper, Lumibot's Alpaca source and Lumibot's cache of candles itself."""
    with served(examples()) as alpaca, spring().server() as binance:
        servers = {"polygon": polygon, "alpaca": alpaca, "binance": binance}
        found = {active: _routed(tmp_path / str(active), servers, active) for active in (False, True)}
    answers, requests = zip(found[False], found[True], strict=True)
    assert requests[0] == requests[1]
    assert all(requests[0].values()), "each provider was asked"
    assert [type(answer) for answer in answers[0].values()] == [KeyError, pd.DataFrame, pd.DataFrame]
    for name, answer in answers[0].items():
        if isinstance(answer, Exception):  # Lumibot 4.6.30 loads Alpaca's bars and looks for them under another key
            assert repr(answer) == repr(answers[1][name])
        else:
            assert len(answer) == 30
            pd.testing.assert_frame_equal(answer, answers[1][name], check_exact=True)
    assert list(tmp_path.rglob("store.duckdb")) == []


@pytest.mark.long
def test_a_backtest_on_the_router_is_the_same_as_without_us(
    tmp_path: Path, polygon: PolygonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, asked = {}, {}
    monkeypatch.setattr(ThetaDataBacktestingPandas, "kill_processes_by_name", lambda *_: None)
    for active in (False, True):
        polygon.requests.clear()
        with polygon_sides.Side(None, tmp_path / str(active)).entered(polygon):
            monkeypatch.setenv("BACKTESTING_DATA_SOURCE", '{"default": "polygon"}')
            monkeypatch.setenv("POLYGON_API_KEY", KEY)
            with activated(active):
                parameters = {"assets": [QQQ], "sleeptime": "1H", "length": 5}
                folder = tmp_path / str(active) / "run"
                source = THEIRS["YahooDataBacktesting"]
                results[active] = run(Crossing, source, folder, "2023-03-06", "2023-03-09", parameters)
            asked[active] = _asked(polygon)
    assert_same_result(results[False], results[True], fills=1)
    assert asked[False] == asked[True] != []
    assert type(results[True].strategy.broker.data_source) is RoutedBacktestingPandas
    assert list(tmp_path.rglob("store.duckdb")) == []


def _asked(server: LoopbackServer) -> list[Any]:
    return sorted((request.path, sorted(request.query.items())) for request in server.requests)


def _routed(folder: Path, servers: Mapping[str, Any], active: bool) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Request bars of three providers from the router; return them, or the errors, and the providers' requests."""
    routing = {"default": "polygon", "stock": "alpaca", "forex": "polygon", "crypto": "binance"}
    wanted = {"stock": (QQQ, None), "index": (Asset("SPX", "index"), None), "crypto": (Asset("BTC", "crypto"), TETHER)}
    with ExitStack() as grounds:
        for name, sides in (("polygon", polygon_sides), ("alpaca", alpaca_sides), ("binance", ccxt_sides)):
            servers[name].requests.clear()
            grounds.enter_context(sides.Side(None, folder / name).entered(servers[name]))
        patch = grounds.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("POLYGON_API_KEY", KEY)
        routed = import_module("lumibot.backtesting.routed_backtesting")
        patch.setattr(routed, "ALPACA_CONFIG", dict(alpaca_sides.CONFIG))
        # Lumibot ends every ThetaTerminal on the machine before it uses one.
        patch.setattr(ThetaDataBacktestingPandas, "kill_processes_by_name", lambda *_: None)
        grounds.enter_context(activated(active))
        start, end = (dt.datetime.fromisoformat(f"2023-03-{day}T00:00-05:00") for day in ("08", "11"))
        config = {"backtesting_data_routing": routing}
        router = RoutedBacktestingPandas(start, end, config=config, show_progress_bar=False, username="", password="")
        router._datetime = start + dt.timedelta(days=1, hours=12)
        answers: dict[str, Any] = {}
        for kind, (asset, quote) in wanted.items():
            try:
                answers[kind] = router.get_historical_prices(asset, 30, "minute", quote=quote).df
            except KeyError as error:
                answers[kind] = error
        return answers, {name: _asked(server) for name, server in servers.items()}
