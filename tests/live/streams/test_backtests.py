"""A backtest on recorded bars downloads nothing, and sees what it would have downloaded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from live.servers.alpaca_server import AlpacaStreamServer, SimulatedClock
from live.streams.recording import recording, redirected_to, rest, wait_for
from lumibot_duckdb import DuckDBDataStorage
from sources.alpaca.server import KEY, SECRET

pytestmark = pytest.mark.long  # importing Lumibot takes seconds


def test_recorded_bars_are_those_that_a_backtest_downloads(
    server: AlpacaStreamServer, storage: DuckDBDataStorage, time: SimulatedClock, tmp_path: Path
) -> None:
    with recording(server, storage, ["SPY"]) as made:
        totals, sent = made.supervisor.totals, 0
        for minute in range(5 + 210 + 45):
            prices = {"SPY": 500 + minute / 8} if 5 <= minute < 215 and minute % 7 else {}
            server.minute(prices)
            sent += len(prices)
            made.received(sent)
            if minute == 60:
                server.disconnect()
                wait_for(lambda: totals.connections == 2 and server.subscribed, "not connected again")
    assert made.error is None
    time.now += 3 * 86_400

    from lumibot.entities import Asset

    from lumibot_duckdb.backtesting import AlpacaBacktesting

    def backtest(store: Path) -> pd.DataFrame:
        source = AlpacaBacktesting(
            datetime_start=datetime(2024, 7, 3, 9, 30),
            datetime_end=datetime(2024, 7, 3, 13, 0),
            config={"API_KEY": KEY, "API_SECRET": SECRET, "PAPER": True},
            timestep="minute",
            market="NYSE",
            full_window=True,
            storage=str(store),
        )
        return source.get_historical_prices_between_dates(base_asset=Asset("SPY"), timestep="minute")

    with redirected_to(server):
        server.rest.requests.clear()
        recorded = backtest(storage.path)
        assert server.rest.asked("stocks/bars") == []
        downloaded = backtest(tmp_path / "other.duckdb")
        assert server.rest.asked("stocks/bars")
    pd.testing.assert_frame_equal(recorded, downloaded)
    closes = rest(server, "SPY", "sip")["c"]
    assert len(closes) == 180
    seen = recorded["close"].set_axis(recorded.index.as_unit("s").asi8)
    assert seen[closes.index].tolist() == closes.tolist()
