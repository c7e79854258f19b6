"""Caches from older releases of Lumibot (made by `old_releases.py`): we read the same bars as Lumibot."""

from __future__ import annotations

import datetime as dt
import pickle
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.alpaca.old_cache.reader import AlpacaReader
from lumibot_duckdb.sources.ccxt.old_cache.reader import CcxtReader
from lumibot_duckdb.sources.yahoo.client import YahooProvider
from lumibot_duckdb.sources.yahoo.history import YahooHistory
from lumibot_duckdb.sources.yahoo.old_cache.reader import YahooReader
from migration import old_releases
from migration.moving import moved, snapshot
from parity import ground
from parity.harness import assert_same_frame
from sources.alpaca import sides as alpaca_sides
from sources.alpaca.server import AlpacaServer
from sources.ccxt import sides as ccxt_sides
from sources.ccxt.binance_server import KLINES, BinanceServer
from sources.ccxt.market import DOLLAR

RELEASES = sorted(path.name.removesuffix(".tar.xz") for path in old_releases.DATA.glob("*.tar.xz"))
WITH_CANDLES = ["lumibot-3.8.27", "lumibot-4.4.30"]
WITH_ALPACA = ["lumibot-4.0.23", "lumibot-4.4.30"]
NEW_YORK = "America/New_York"


def unpacked(release: str, folder: Path) -> Path:
    with tarfile.open(old_releases.DATA / f"{release}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("release", RELEASES)
def test_daily_histories_are_those_that_lumibot_reads(release: str, tmp_path: Path) -> None:
    cache, store = unpacked(release, tmp_path / "lumibot"), tmp_path / "store.duckdb"
    storage = DuckDBDataStorage(store)
    before = snapshot(cache)
    assert moved(YahooReader(cache), storage) == {}
    assert snapshot(cache) == before
    readable = unpacked("lumibot-3.8.27", tmp_path / "readable")  # later ones had pandas 3, which pandas 2 cannot read
    for symbol in ("AAA", "BTC-USD", "VOD.L"):
        history = YahooHistory(storage, YahooProvider(), symbol)
        with ground.only_loopback():
            history.ensure(dt.datetime(2024, 6, 28, tzinfo=dt.timezone.utc))
            found = history.frame()
        expected = pickle.loads((readable / "yahoo" / f"{symbol}_1d.pickle").read_bytes()).data
        assert found is not None
        found.index = found.index.as_unit("ns")  # type: ignore[attr-defined]
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_freq=False)
    actions = storage.corporate_actions("AAA", "yahoo", "dividend")
    assert actions is not None
    assert [action.ex_date.isoformat() for action in actions.actions] == ["2024-03-15", "2024-06-14"]


@pytest.fixture(scope="module")
def exchange() -> Iterator[BinanceServer]:
    with old_releases.small_exchange() as server:
        yield server


@pytest.mark.parametrize("release", WITH_CANDLES)
@pytest.mark.parametrize(
    ("coin", "timestep", "span"),
    [("GAPS", "minute", ("2023-03-10 20:00", "2023-03-11 12:00")), ("BTC", "day", ("2023-03-10", "2023-03-14"))],
)
def test_candles_are_those_that_lumibot_reads(
    release: str, coin: str, timestep: str, span: tuple[str, str], exchange: BinanceServer, tmp_path: Path
) -> None:
    theirs, ours = ccxt_sides.both_sides(tmp_path)
    cache = unpacked(release, theirs.folder / "lumibot")
    before = snapshot(cache)
    reasons = moved(CcxtReader(cache), DuckDBDataStorage(ours.store))
    if reasons and duckdb.__version__ < "2":  # what DuckDB 2 has written
        assert all("newer version of DuckDB" in reason for reason in reasons.values())
        pytest.skip("this DuckDB cannot read the file, and Lumibot could not either")
    assert reasons == {}
    assert snapshot(cache) == before
    frames, asked = [], []
    for side in (theirs, ours):
        requests = len(exchange.asked(KLINES))
        with side.entered(exchange):
            start, end = (pd.Timestamp(moment, tz=NEW_YORK).to_pydatetime() for moment in span)
            source = side.source(start, end)
            source._datetime = end - dt.timedelta(minutes=1)
            bars = source.get_historical_prices(
                Asset(coin, "crypto"), 250 if timestep == "minute" else 5, timestep, quote=DOLLAR
            )
            frames.append(bars.df)
        asked.append(len(exchange.asked(KLINES)) - requests)
    assert_same_frame(*frames, f"{release} {coin}")
    assert asked[1] <= asked[0]
    assert timestep == "day" or asked == [0, 0]


@pytest.fixture(scope="module")
def alpaca() -> Iterator[AlpacaServer]:
    with old_releases.small_alpaca() as server:
        yield server


@pytest.mark.parametrize("release", WITH_ALPACA)
def test_bars_of_alpaca_are_those_that_lumibot_reads(release: str, alpaca: AlpacaServer, tmp_path: Path) -> None:
    theirs, ours = alpaca_sides.both_sides(tmp_path)
    cache = unpacked(release, theirs.folder / "lumibot")
    before = snapshot(cache)
    assert moved(AlpacaReader(cache), DuckDBDataStorage(ours.store)) == {}
    assert snapshot(cache) == before
    asked = len(alpaca.requests)
    found: dict[Any, list[pd.DataFrame]] = {}
    for side in (theirs, ours):
        with side.entered(alpaca):
            for timestep, symbols in (("minute", ["THIN"]), ("day", ["THIN", "SPLT", "BTC"])):
                span = (pd.Timestamp(f"2023-11-0{day}", tz=NEW_YORK).to_pydatetime() for day in (6, 9))
                source = side.source(*span, timestep=timestep, market="NASDAQ", auto_adjust=True)
                for symbol in symbols:
                    asset = Asset(symbol, "crypto" if symbol == "BTC" else "stock")
                    frame = source.get_historical_prices_between_dates(base_asset=asset, timestep=timestep)
                    found.setdefault((symbol, timestep), []).append(frame)
    for name, frames in found.items():
        assert_same_frame(*frames, f"{release} {name}")
    assert len(alpaca.requests) == asked
