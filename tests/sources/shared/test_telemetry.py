"""After a backtest, one line says what it read, and what it cost; the storage's statistics say the same."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.backtesting import BacktestingBroker
from lumibot.entities import Asset
from lumibot.traders import Trader

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import (
    AlpacaBacktesting,
    CcxtBacktesting,
    PandasDataBacktesting,
    PolygonDataBacktesting,
    YahooDataBacktesting,
)
from lumibot_duckdb.sources.shared.telemetry import Telemetry
from parity.backtests import run
from parity.series import INVENTED
from parity.sides import pandas_data
from parity.strategies import Crossing
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.market import served
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.market import DOLLAR as TETHER
from sources.ccxt.market import spring
from sources.polygon import sides as polygon_sides
from sources.polygon.market import examples
from sources.polygon.server import KEY
from sources.yahoo import sides as yahoo_sides
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer

QQQ, BTC = Asset("QQQ"), Asset("BTC", "crypto")
LOUD = {"quiet_logs": False}
Backtest = Callable[..., Any]


@contextmanager
def on_yahoo(folder: Path) -> Iterator[Backtest]:
    days = new_york_days("2022-06-01", "2023-06-30")
    with YahooServer(instruments={"QQQ": Instrument(walk(days, 1, price=300.0), kind="ETF")}) as server:
        server.now = pd.Timestamp("2023-07-01 12:00", tz="America/New_York").tz_convert("UTC")  # no bar is open
        with yahoo_sides.Side(None, folder).entered(server):
            yield lambda **more: _run(YahooDataBacktesting, folder, {"sleeptime": "1D", "step": "day"}, **more)


@contextmanager
def on_polygon(folder: Path) -> Iterator[Backtest]:
    with examples().served() as server, polygon_sides.Side(None, folder).entered(server):
        yield lambda **more: _run(PolygonDataBacktesting, folder, {"sleeptime": "1H"}, polygon_api_key=KEY, **more)


@contextmanager
def on_alpaca(folder: Path) -> Iterator[Backtest]:
    with served(examples()) as server, alpaca_sides.Side(None, folder).entered(server):
        settings = {"config": alpaca_sides.CONFIG, "timestep": "minute", "history_before_start": True}
        yield lambda **more: _run(AlpacaBacktesting, folder, {"sleeptime": "1H"}, **settings, **more)


@contextmanager
def on_ccxt(folder: Path) -> Iterator[Backtest]:
    with spring().server() as server, ccxt_sides.Side(None, folder).entered(server):
        parameters = {"assets": [BTC], "sleeptime": "1H", "market": "24/7"}
        settings = {"exchange_id": "binance", "quote_asset": TETHER, "span": ("2023-03-11", "2023-03-12")}
        yield lambda **more: _run(CcxtBacktesting, folder, parameters, **settings, **more)


def _run(source: Any, folder: Path, parameters: Any, span: Any = ("2023-03-08", "2023-03-11"), **settings: Any) -> Any:
    parameters = {"assets": [QQQ], "length": 5, **parameters}
    return run(Crossing, source, folder / "run", *span, parameters, **settings).strategy


GROUNDS = {"yahoo": on_yahoo, "polygon": on_polygon, "alpaca": on_alpaca, "ccxt": on_ccxt}
LINE = re.compile(
    r"DuckDB: (\d+) windows? loaded, ([\d,]+) rows \([\d.,]+ [KM]B\) read, [\d,]+ shown, "
    r"(\d+\.\d) % of look-ups from memory, "
    r"(no|\d+) evictions?, (no|\d+) downloads?(?: \(([\d,]+) bars?, \d+\.\d s\))?, \d+\.\d\d s in storage"
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what our lines said since this was called last."""

    def new() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "lumibot.duckdb"]
        caplog.clear()
        return found

    return new


@pytest.mark.parametrize(
    "source",
    [pytest.param(name, marks=[] if name in ("yahoo", "polygon") else [pytest.mark.long]) for name in GROUNDS],
)
def test_a_backtest_says_what_it_did_in_one_line(source: str, tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    with GROUNDS[source](tmp_path) as backtest:
        first = backtest(**LOUD)
        (line,) = lines()
        found = LINE.fullmatch(line)
        assert found is not None, line
        assert int(found[1]) > 0
        assert found[5] != "no"
        assert int(found[6].replace(",", "")) > 0

        done = first.broker.data_source.telemetry
        told = first.broker.data_source.storage.statistics()
        windows = told.details["windows"]
        assert (done.windows_loaded, done.lookups, done.evictions, done.rows_shown) == (
            windows["loads"],
            windows["lookups"],
            windows["evictions"],
            windows["rows_shown"],
        )
        assert done.rows_shown > 0
        assert (done.rows_read, done.bytes_read, done.downloads, done.bars_downloaded) == (
            told.rows_read,
            told.bytes_read,
            told.downloads,
            told.bars_downloaded,
        )
        assert done.bars_downloaded == told.rows
        assert done.rows_read * 8 <= done.bytes_read
        assert 0 < done.seconds_in_storage == told.seconds_in_storage
        assert 0 < done.seconds_downloading == told.seconds_downloading

        again = backtest(**LOUD)
        (line,) = lines()
        assert ", no downloads, " in line, "numbers are of one backtest alone"
        assert again.broker.data_source.telemetry.windows_loaded > 0


def test_quiet_logs_leave_it_on_standard_error_and_the_variable_silences_it(
    tmp_path: Path,
    lines: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with on_yahoo(tmp_path) as backtest:
        backtest(quiet_logs=True)
        assert lines() == []
        assert LINE.fullmatch(capsys.readouterr().err.strip())
        monkeypatch.setenv("LUMIBOT_DUCKDB_LOG_STATS", "false")
        backtest(quiet_logs=True)
        backtest(**LOUD)
        assert lines() == []
        assert "DuckDB" not in capsys.readouterr().err
        monkeypatch.setenv("LUMIBOT_USE_DUCKDB", "false")
        monkeypatch.delenv("LUMIBOT_DUCKDB_LOG_STATS")
        backtest(**LOUD)
        assert lines() == []
        assert "DuckDB" not in capsys.readouterr().err
        monkeypatch.delenv("LUMIBOT_USE_DUCKDB")
        monkeypatch.setenv("LUMIBOT_DUCKDB_LOG_STATS", "maybe")
        with pytest.raises(ValueError, match="LUMIBOT_DUCKDB_LOG_STATS must be true or false, not 'maybe'"):
            backtest()


class Failing(Crossing):
    def on_trading_iteration(self) -> None:
        super().on_trading_iteration()
        raise RuntimeError("the strategy's own fault")


def test_a_backtest_that_fails_says_what_it_did_too(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    parameters = {"assets": [QQQ], "length": 5, "sleeptime": "1D", "step": "day"}
    with on_yahoo(tmp_path), pytest.raises(RuntimeError, match="own fault"):
        run(Failing, YahooDataBacktesting, tmp_path / "run", "2023-03-08", "2023-03-11", parameters, **LOUD)
    (line,) = lines()
    assert LINE.fullmatch(line)


def test_a_source_that_is_used_twice_reports_each_backtest_separately(
    tmp_path: Path, lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = DuckDBDataStorage(tmp_path / "shared.duckdb")
    with on_yahoo(tmp_path):
        span = [dt.datetime(2023, 3, day) for day in (8, 11)]
        source = YahooDataBacktesting(*span, storage=storage, show_progress_bar=False)
        for downloads in ("1 download (", ", no downloads, "):
            strategy = Crossing(
                BacktestingBroker(source),
                parameters={"assets": [QQQ], "length": 5, "sleeptime": "1D", "step": "day"},
                backtesting_start=span[0],
                backtesting_end=span[1],
                benchmark_asset=None,
                risk_free_rate=0.0,
                analyze_backtest=False,
            )
            trader = Trader(backtest=True, quiet_logs=False)
            trader.add_strategy(strategy)
            trader.run_all(show_plot=False, show_tearsheet=False, save_tearsheet=False, show_indicators=False)
            (line,) = lines()
            assert downloads in line, line
            source._datetime = source.datetime_start


def test_stored_bars_are_reported_and_frames_of_the_script_are_not(
    tmp_path: Path, lines: Callable[[], list[str]]
) -> None:
    market = INVENTED["dense"]()
    parameters = {"assets": [asset for asset, _ in market.frames], "sleeptime": "1H"}
    storage = DuckDBDataStorage(tmp_path / "own.duckdb")
    for (asset, quote), frame in market.frames.items():
        storage.store_ohlcv_data((asset, quote), frame, "own", "minute")
    span = (market.start, market.end)
    run(Crossing, PandasDataBacktesting.using(storage), tmp_path / "a", *span, parameters, **LOUD)
    (line,) = lines()
    assert LINE.fullmatch(line)
    assert "no downloads" in line
    run(Crossing, PandasDataBacktesting, tmp_path / "b", *span, parameters, pandas_data=pandas_data(market), **LOUD)
    assert lines() == []


def test_numbers_as_people_read_them() -> None:
    much = Telemetry(42, 1_234_567, 98_300_000, 100_000, 3, 2, 12_345, 4.1234, 0.314, 617_000)
    assert str(much) == (
        "42 windows loaded, 1,234,567 rows (98 MB) read, 617,000 shown, 99.9 % of look-ups from memory, 3 evictions, "
        "2 downloads (12,345 bars, 4.1 s), 0.31 s in storage"
    )
    little = Telemetry(windows_loaded=1, rows_read=1, bytes_read=48, evictions=1, downloads=1, bars_downloaded=1)
    assert str(little) == (
        "1 window loaded, 1 row (1 KB) read, none shown, 1 eviction, 1 download (1 bar, 0.0 s), 0.00 s in storage"
    )
    assert "(1.5 MB)" in str(Telemetry(bytes_read=1_500_000))
    assert "no rows (0 KB) read, none shown, no evictions, no downloads, " in str(Telemetry())
    assert much - much == Telemetry()
    assert much + Telemetry() == much
