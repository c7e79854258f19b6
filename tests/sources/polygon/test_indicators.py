"""`indicators` of the Polygon source: it loads the bars that values need, as a longer request for prices would."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.demo.market import us_stock_bars
from parity.ground import silence
from sources.polygon.market import PolygonMarket, at_price, in_session
from sources.polygon.sides import Side, our_class
from sources.polygon.test_source import AGGREGATES, SPAN, moment

REQUESTS = ["rsi(3)", "ema(5)", "sma(4)"]
NOW = pd.Timestamp("2023-03-08 11:02", tz="America/New_York")
NEWEST = {
    "minute": "2023-03-08 11:01",
    "5min": "2023-03-08 10:55",
    "hour": "2023-03-08 10:00",
    "day": "2023-03-07",
}


def test_values_are_those_of_the_newest_bar_that_has_closed(tmp_path: Path) -> None:
    market = PolygonMarket(*map(moment, SPAN))
    bars = us_stock_bars("AAA", dt.date(2022, 12, 1), dt.date(2023, 3, 12))
    market.bars["AAA", "minute"] = at_price(in_session(bars), 100.0)
    side = Side(our_class(), tmp_path / "ours")
    with market.served() as server, side.entered(server), silence():
        source = side.source(*map(moment, SPAN))
        source._datetime = NOW.to_pydatetime()
        found = {step: source.indicators("AAA", REQUESTS, step, 3) for step in NEWEST}
        requests = len(server.asked(AGGREGATES))
        assert requests > 0
        for step in NEWEST:
            source.indicators("AAA", REQUESTS, step, 3)
        assert len(server.asked(AGGREGATES)) == requests
        assert source.get_historical_prices("AAA", 1, "minute").df.index[-1] == found["minute"].index[-1]
        source.shutdown()
    with DuckDBDataStorage(side.store) as storage:
        for step, values in found.items():
            assert values.index[-1] == pd.Timestamp(NEWEST[step], tz="America/New_York"), step
            full = storage.indicators("AAA", REQUESTS, step)
            expected = full[full.index <= values.index[-1]].tail(3)
            pd.testing.assert_frame_equal(values, expected, rtol=1e-9, check_freq=False, check_index_type=False)
