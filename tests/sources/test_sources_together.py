"""Bars of several sources in one store: the same symbol side by side, never mixed, and one strategy on two of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.entities import Asset, Data

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.demo.market import crypto_bars
from parity.backtests import assert_same_result, run
from parity.strategies import Crossing
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.server import AlpacaServer
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.binance_server import BinanceServer
from sources.polygon import sides as polygon_sides
from sources.polygon.market import PolygonMarket
from sources.yahoo import sides as yahoo_sides
from sources.yahoo.market import new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer

DAYS = new_york_days("2022-12-01", "2023-06-30")
NEW_YORK = "America/New_York"
START, END = (pd.Timestamp(day, tz=NEW_YORK).to_pydatetime() for day in ("2023-03-01", "2023-04-28"))
NOW = pd.Timestamp("2023-05-10 18:00", tz="UTC")


def at_midnight(bars: pd.DataFrame) -> pd.DataFrame:
    """Return days as Polygon and Alpaca stamp them."""
    return bars.set_axis(pd.DatetimeIndex(bars.index).tz_localize(NEW_YORK))


@contextmanager
def yahoo(bars: pd.DataFrame, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    with YahooServer(instruments={"SPY": Instrument(bars)}) as server:
        server.now = NOW
        with yahoo_sides.both_sides(folder)[1].entered(server):
            yield yahoo_sides.YahooDataBacktesting, {}


@contextmanager
def alpaca(bars: pd.DataFrame, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    with AlpacaServer() as server:
        server.serve("stock", "SPY", at_midnight(bars), "1Day")
        with alpaca_sides.both_sides(folder)[1].entered(server):
            yield alpaca_sides.AlpacaBacktesting, {"config": dict(alpaca_sides.CONFIG), "warm_up_trading_days": 30}


@contextmanager
def polygon(bars: pd.DataFrame, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    market = PolygonMarket(START, END, bars={("SPY", "day"): at_midnight(bars)})
    with market.served() as server, polygon_sides.both_sides(folder)[1].entered(server):
        yield polygon_sides.our_class(), {"api_key": polygon_sides.KEY}


PROVIDERS = {"yahoo": yahoo, "alpaca": alpaca, "polygon": polygon}


def seen(name: str, bars: pd.DataFrame, folder: Path, storage: DuckDBDataStorage) -> list[pd.DataFrame]:
    """Return what a backtest on a provider sees of SPY on some days."""
    with PROVIDERS[name](bars, folder) as (source_class, settings):
        source = source_class.using(storage)(
            datetime_start=START, datetime_end=END, show_progress_bar=False, **settings
        )
        frames = []
        for day in (2, 9, 30):
            source._datetime = START + dt.timedelta(days=day, hours=15)
            frames.append(source.get_historical_prices(Asset("SPY"), 15, timestep="day").df)
        return frames


def test_one_symbol_of_three_sources_stays_three(tmp_path: Path) -> None:
    bars = {name: walk(DAYS, seed, price=100.0 * seed) for seed, name in enumerate(PROVIDERS, 1)}
    together = DuckDBDataStorage(tmp_path / "together.duckdb")
    alone = {
        name: seen(name, bars[name], tmp_path / name, DuckDBDataStorage(tmp_path / f"{name}.duckdb")) for name in bars
    }
    for turn in ("first", "second"):  # the second time, all three are there
        for name in bars:
            for expected, actual in zip(
                alone[name], seen(name, bars[name], tmp_path / turn / name, together), strict=True
            ):
                pd.testing.assert_frame_equal(expected, actual, check_exact=True)
    stored = together.sql(
        "SELECT source, min(close) AS low, max(close) AS high FROM ohlcv_data WHERE asset_symbol = 'SPY' AND "
        "timestamp >= TIMESTAMP '2023-03-01' AND timestamp < TIMESTAMP '2023-04-01' GROUP BY source ORDER BY source"
    ).to_pandas()
    assert [source.partition(":")[0] for source in stored["source"]] == sorted(bars)
    for name, low, high in zip(sorted(bars), stored["low"], stored["high"], strict=True):
        march = bars[name]["close"].loc["2023-03-01":"2023-03-31"]  # type: ignore[misc]
        assert (low, high) == (march.min(), march.max())


def test_a_strategy_holds_stocks_of_one_source_and_crypto_of_another(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "together.duckdb")
    dollar = Asset("USD", "forex")
    spy, pair = (Asset("SPY"), dollar), (Asset("BTC", "crypto"), dollar)
    seen("yahoo", walk(DAYS, 5, price=380.0), tmp_path / "yahoo", storage)
    with BinanceServer() as server:
        server.list_market("BTC", "USD", crypto_bars("BTC", dt.date(2023, 2, 1), dt.date(2023, 4, 29)))
        with ccxt_sides.both_sides(tmp_path / "ccxt")[1].entered(server):
            source = ccxt_sides.CcxtBacktesting.using(storage)(START, END, show_progress_bar=False)
            source._datetime = END
            assert len(source.get_historical_prices(pair, 20, timestep="day").df) == 20

    frames = {
        spy: storage.read_pandas(storage.pin("SPY", timeframe="day", source="yahoo")),
        pair: storage.read_pandas(storage.pin(pair, timeframe="day", source="ccxt")),
    }
    parameters = {"assets": [Asset("SPY"), pair[0]], "sleeptime": "1D", "step": "day", "length": 6, "market": "24/7"}
    span = (START, END)
    theirs = run(
        Crossing,
        LumibotPandasDataBacktesting,
        tmp_path / "theirs",
        *span,
        parameters,
        pandas_data=[Data(asset, frame, timestep="day", quote=quote) for (asset, quote), frame in frames.items()],
    )
    ours = run(
        Crossing,
        PandasDataBacktesting.using(storage, assets={"yahoo": [spy], "ccxt": [pair]}, timestep="day"),
        tmp_path / "ours",
        *span,
        parameters,
    )
    traded = theirs.trades[theirs.trades["status"] == "fill"]
    assert set(traded["symbol"]) == {"SPY", "BTC"}
    assert_same_result(theirs, ours)
