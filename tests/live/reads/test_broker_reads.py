"""What Lumibot's sources for Tradier, Schwab and Interactive Brokers read is recorded in series of these brokers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import lumiwealth_tradier.base as tradier_base
import pandas as pd
import pytest
import pytz
from lumibot import constants
from lumibot.data_sources import interactive_brokers_rest_data, schwab_data, tradier_data
from lumibot.entities import Asset
from lumibot.tools import shared_bar_cache
from schwab.client import Client

from live.reads.brokers_server import BrokersServer
from live.reads.moments import SetClock, set_clock
from live.reads.recorders import recorded, stored
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.storage.api import AssetKey, SeriesKey
from parity.ground import environment, only_loopback, silence

NEW_YORK = pytz.timezone("America/New_York")
NOW = NEW_YORK.localize(dt.datetime(2024, 3, 12, 11, 0, 30))
SPY = Asset("SPY")


@pytest.fixture(scope="module")
def server() -> Iterator[BrokersServer]:
    minutes = us_stock_bars("SPY", dt.date(2024, 3, 7), dt.date(2024, 3, 13)).tz_convert("UTC")
    how: Any = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    days = minutes.tz_convert(NEW_YORK).resample("D").agg(how).dropna().tz_convert("UTC")
    with BrokersServer(minutes, days) as server:
        yield server


def tradier(server: BrokersServer) -> Any:
    return tradier_data.TradierData("VA1", "token", paper=False)


def schwab(server: BrokersServer) -> Any:
    client = httpx.Client()
    redirected = mock.Mock(wraps=client)
    redirected.get = lambda url, params: client.get(url.replace("https://api.schwabapi.com", server.url), params=params)
    source = schwab_data.SchwabData(client=Client("key", redirected, enforce_enums=True))
    source.shared_bars_scope = "scope"
    return source


def interactive_brokers(server: BrokersServer) -> Any:
    config = {"API_URL": f"{server.url}/v1/api", "IB_ACCOUNT_ID": "DU1"}
    return interactive_brokers_rest_data.InteractiveBrokersRESTData(config)


BROKERS: dict[str, Callable[[BrokersServer], Any]] = {
    "tradier": tradier,
    "schwab": schwab,
    "interactive_brokers": interactive_brokers,
}


@contextmanager
def live(folder: Path, server: BrokersServer, broker: str) -> Iterator[tuple[Any, SetClock, DuckDBDataStorage]]:
    """Trade live with a broker on Tuesday at eleven."""
    folder.mkdir(exist_ok=True)
    shared_bar_cache._reset_process_memory()
    storage = DuckDBDataStorage(folder / "store.duckdb")
    with (
        environment({}),
        silence(),
        only_loopback(),
        mock.patch.object(constants, "LUMIBOT_CACHE_FOLDER", str(folder)),
        mock.patch.object(tradier_base, "TRADIER_LIVE_URL", server.url),
        set_clock(NOW, tradier_data, schwab_data, interactive_brokers_rest_data) as clock,
        recorded(storage),
    ):
        yield BROKERS[broker](server), clock, storage


@pytest.mark.parametrize("broker", ["tradier", "interactive_brokers", pytest.param("schwab", marks=pytest.mark.long)])
def test_settled_bars_are_recorded_as_the_broker_has_them(broker: str, tmp_path: Path, server: BrokersServer) -> None:
    with live(tmp_path, server, broker) as (source, clock, storage):
        for _ in range(3):
            assert source.get_historical_prices(SPY, 60, "minute") is not None
            clock.let_pass(minutes=1)
        assert source.get_historical_prices(SPY, 2, "day") is not None
    minutes, days = (SeriesKey(AssetKey("SPY"), broker, timeframe, "split") for timeframe in ("minute", "day"))
    found = stored(storage, minutes).tz_convert("UTC")
    assert len(found) >= 45
    assert found.index[-1] == pd.Timestamp("2024-03-12 10:46", tz=NEW_YORK)  # settled 15 minutes after its end
    assert len(storage.coverage(minutes)) == 1
    names = ["open", "high", "low", "close", "volume"]
    expected = server.minutes.loc[found.index[0] : found.index[-1], names]  # type: ignore[misc]
    assert len(found) == len(expected)
    pd.testing.assert_frame_equal(found[names], expected, check_names=False, check_freq=False, check_dtype=False)
    assert stored(storage, days).index[-1] == pd.Timestamp("2024-03-11", tz=NEW_YORK)  # Tuesday is not over
    assert {each.key for each in storage.list_series()} == {minutes, days}
