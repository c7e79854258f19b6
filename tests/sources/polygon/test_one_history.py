"""A Polygon backtest sees one history of a stock to its end: in all timespans, and in its options."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from lumibot_duckdb.storage.errors import HistoryRestatedError
from sources.polygon.market import PolygonMarket, at_price, in_session, list_options
from sources.polygon.server import PolygonServer, Split
from sources.polygon.sides import Side, our_class

EXPIRATION = dt.date(2023, 3, 17)
OPTION = Asset("AAA", "option", expiration=EXPIRATION, strike=100.0, right="CALL")
STOCK = Asset("AAA")


def moment(text: str) -> dt.datetime:
    return pd.Timestamp(text, tz="America/New_York").to_pydatetime()


@pytest.fixture
def server() -> Iterator[PolygonServer]:
    market = PolygonMarket(moment("2023-03-06"), moment("2023-03-11"))
    bars = us_stock_bars("AAA", dt.date(2023, 1, 20), dt.date(2023, 3, 20))
    market.bars["AAA", "minute"] = at_price(in_session(bars), 100.0)
    list_options(market, "AAA", [EXPIRATION], [100.0], often=0.3)
    with market.served() as server:
        yield server


@pytest.fixture
def ours(tmp_path: Path) -> Side:
    return Side(our_class(), tmp_path / "ours")


def new_source(side: Side) -> Any:
    source = side.source(moment("2023-03-06"), moment("2023-03-11"))
    source._datetime = moment("2023-03-09 12:00")
    return source


def last_close(source: Any, asset: Asset, timestep: str) -> float:
    return float(source.get_historical_prices(asset, 3, timestep).df["close"].iloc[-1])


def split_found_by_another_process(server: PolygonServer, side: Side) -> None:
    """The split of the day is there, and a backtest that began after it has looked for it and loaded bars."""
    server.splits.append(Split("AAA", "2023-03-20", 1, 4))
    storage = DuckDBDataStorage(side.store)
    yesterday = pd.Timestamp.now("UTC").to_pydatetime() - dt.timedelta(days=1)
    known = storage.corporate_actions("AAA", "polygon")
    assert known is not None
    storage.record_corporate_actions("AAA", known.actions, "polygon", checked_at=yesterday)
    other = new_source(side)
    last_close(other, STOCK, "minute")


def test_days_that_were_stored_are_of_the_history_that_the_minutes_are_of(server: PolygonServer, ours: Side) -> None:
    with ours.entered(server):
        days = last_close(new_source(ours), STOCK, "day")
        source = new_source(ours)
        minutes = last_close(source, STOCK, "minute")
        split_found_by_another_process(server, ours)
        source.pandas_data.clear()
        source._enough_since.clear()
        source._serving.clear()
        assert last_close(source, STOCK, "day") == days
        assert last_close(new_source(ours), STOCK, "minute") == pytest.approx(minutes / 4)


def test_what_has_to_be_downloaded_after_a_split_is_refused(server: PolygonServer, ours: Side) -> None:
    with ours.entered(server):
        source = new_source(ours)
        last_close(source, STOCK, "minute")
        split_found_by_another_process(server, ours)
        with pytest.raises(HistoryRestatedError, match="run it again"):
            last_close(source, OPTION, "minute")
        source.pandas_data.clear()
        source._enough_since.clear()
        source._serving.clear()
        with pytest.raises(HistoryRestatedError, match="run it again"):
            last_close(source, STOCK, "day")
        last_close(new_source(ours), OPTION, "minute")
