"""`indicators` of the Yahoo source: days until yesterday, with the prices that the backtest sees."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import SeriesNotFoundError
from parity.ground import silence
from sources.yahoo.market import made_up, new_york_days, walk
from sources.yahoo.server import Instrument, YahooServer
from sources.yahoo.sides import both_sides
from sources.yahoo.test_source import NEW_YORK, moment

DAYS = new_york_days("2023-01-03", "2024-06-28")
REQUESTS = ["rsi(3)", "atr(3)", "obv"]


@pytest.mark.parametrize("auto_adjust", [False, True])
def test_values_are_of_the_prices_that_the_backtest_sees(auto_adjust: bool, tmp_path: Path) -> None:
    payouts = {day.date(): 0.5 for day in pd.to_datetime(["2023-09-15", "2024-01-12"])}
    stock = Instrument(walk(DAYS, 1), dividends=payouts)
    side = both_sides(tmp_path)[1]
    instruments = {**made_up(DAYS[-1].date()), "STK": stock}
    with YahooServer(instruments=instruments) as server, side.entered(server), silence():
        server.now = pd.Timestamp("2024-03-01 18:00", tz=NEW_YORK).tz_convert("UTC")
        source = side.source(moment("2024-01-02"), moment("2024-02-20"), auto_adjust=auto_adjust)
        source._datetime = moment("2024-02-01 12:00")
        found = source.indicators("STK", REQUESTS, length=30)
        weeks = source.indicators("STK", REQUESTS, "week", length=4)
        seen = source.get_historical_prices("STK", 30, "day").df
        with pytest.raises(SeriesNotFoundError, match="no bars of STK, or none that bars of '7minute'"):
            source.indicators("STK", "rsi", "7min")
        with pytest.raises(SeriesNotFoundError, match=r"no bars of STKK.*; did you mean STK\?"):
            source.indicators("STKK", "rsi")
    assert found["close"].tolist() == seen["close"].tolist()
    assert (found.index.date == seen.index.date).all()  # Lumibot stamps them at four
    with DuckDBDataStorage(side.store) as storage:
        if auto_adjust:
            stored = storage.to_pandas("STK", timeframe="day")
            ratio = stored["adj_close"] / stored["close"]
            scaled = stored[["open", "high", "low", "close"]].mul(ratio, axis=0).assign(close=stored["adj_close"])
            storage.store_ohlcv_data("STK", scaled.assign(volume=stored["volume"]), "adjusted", "day")
            assert ratio.iloc[0] < 1
        full, full_weeks = (
            storage.indicators("STK", REQUESTS, step, end="2024-02-01", source="adjusted" if auto_adjust else "yahoo")
            for step in ("day", "week")
        )
    pd.testing.assert_frame_equal(found, full.tail(30), rtol=1e-9, check_freq=False, check_index_type=False)
    pd.testing.assert_frame_equal(weeks, full_weeks[:"2024-01-22"].tail(4), rtol=1e-9, check_freq=False)
    assert weeks.index[-1] == pd.Timestamp("2024-01-22", tz=NEW_YORK)
