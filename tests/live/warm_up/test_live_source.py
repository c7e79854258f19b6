"""Lumibot's live source of Alpaca: recorded on one machine, checked, and warmed up on one whose cache is empty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytz
from lumibot.data_sources import alpaca_data
from lumibot.data_sources.alpaca_data import AlpacaData
from lumibot.entities import Asset

from live.markets import QQQ, SPY
from live.reads.moments import set_clock
from live.reads.recorders import recorded
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import AlpacaBacktesting
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.live.checking.check import checked, outcome, series_to_check
from lumibot_duckdb.live.checking.verified import VerifiedKinds
from lumibot_duckdb.live.rest_bars import RestBars
from lumibot_duckdb.live.warm_up.warm_up import WarmUp, warm_up_of
from parity.ground import silence
from sources.alpaca.server import KEY, SECRET, Action, AlpacaServer
from sources.alpaca.sides import CONFIG, Side

NOW = pytz.timezone("America/New_York").localize(dt.datetime(2024, 3, 12, 11, 0, 30))
BARS = "/v2/stocks/bars"


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    frame = us_stock_bars("SPY", dt.date(2024, 3, 4), dt.date(2024, 3, 14))
    prices = frame[["open", "high", "low", "close"]]
    bars = frame.assign(high=prices.max(axis=1), low=prices.min(axis=1))
    with AlpacaServer() as server:
        server.serve("stock", "SPY", bars)
        server.serve("stock", "QQQ", bars * 2)
        yield server


def traded(
    folder: Path, server: AlpacaServer, store: Path, warm_up: Any = None, minutes: int = 0
) -> list[pd.DataFrame]:
    """Read history with Lumibot's live source, recorded in a store; return the frames that a strategy gets."""
    server.requests.clear()
    with (
        Side(AlpacaBacktesting, folder).entered(server),
        silence(),
        set_clock(NOW + dt.timedelta(minutes=minutes), alpaca_data),
        recorded(DuckDBDataStorage(store), warm_up),
    ):
        source = AlpacaData(dict(CONFIG))
        single = source.get_historical_prices(Asset("SPY"), 1_200, "minute").df
        several = source.get_bars([Asset("SPY"), Asset("QQQ")], 60, "minute")
        return [single, *(each.df for each in several.values())]


def check_day(folder: Path, server: AlpacaServer, store: Path) -> None:
    """Do what `live check` does, in the evening."""
    evening = set_clock(NOW.replace(hour=20))
    with Side(AlpacaBacktesting, folder).entered(server), silence(), evening, DuckDBDataStorage(store) as storage:
        chosen = series_to_check(storage, NOW.date())
        assert chosen is not None
        rest = RestBars({"ALPACA_API_KEY": KEY, "ALPACA_API_SECRET": SECRET})
        checks = list(checked(storage, rest, *chosen))
        assert {each.key for each in checks} == {SPY, QQQ}
        assert all(each.verified for each in checks)
        VerifiedKinds(storage.path).update(*outcome(checks))


def asked_minutes(server: AlpacaServer) -> float:
    """Return how many minutes of bars were requested."""
    ranges = ((pd.Timestamp(each.query["start"]), pd.Timestamp(each.query["end"])) for each in server.asked(BARS))
    return sum((end - start).total_seconds() for start, end in ranges) / 60


def assert_equal(some: list[pd.DataFrame], others: list[pd.DataFrame]) -> None:
    for one, other in zip(some, others, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        assert one.index.dtype == other.index.dtype


def test_the_strategy_sees_the_same_frames(
    tmp_path: Path, server: AlpacaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUMIBOT_DUCKDB_LIVE_WARM_UP", raising=False)
    store = tmp_path / "shared.duckdb"

    def warm_up() -> WarmUp:
        made = warm_up_of(lambda: DuckDBDataStorage(store), store)
        assert made is not None
        return made

    unchecked = warm_up()
    first = traded(tmp_path / "one", server, store, unchecked)
    everything = asked_minutes(server)
    assert unchecked.counts.bars == 0
    check_day(tmp_path / "evening", server, store)
    warm = warm_up()
    assert_equal(traded(tmp_path / "two", server, store, warm), first)
    assert (warm.counts.bars > 1_000, warm.counts.different) == (True, 0)
    assert asked_minutes(server) < 0.2 * everything

    server.actions.append(Action("SPY", "2024-03-12", before=1, after=4))  # which Alpaca learns of in the meantime
    split = warm_up()
    later = traded(tmp_path / "three", server, store, split, minutes=30)
    assert_equal(later, traded(tmp_path / "four", server, tmp_path / "other.duckdb", minutes=30))
    assert split.counts.different == 1
    assert split.restatements.wait(20)
    with DuckDBDataStorage(store) as storage:
        ours = storage.read_pandas(storage.pin(SPY))
    with DuckDBDataStorage(tmp_path / "other.duckdb") as storage:
        theirs = storage.read_pandas(storage.pin(SPY))
    pd.testing.assert_frame_equal(ours, theirs.loc[ours.index], check_exact=True)
