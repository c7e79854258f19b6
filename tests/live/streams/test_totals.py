"""What the recorder says about itself."""

from __future__ import annotations

from datetime import datetime, timezone

from lumibot_duckdb.live.recording.recorder import RecorderCounts
from lumibot_duckdb.live.streams.stream_comparison import Comparison
from lumibot_duckdb.live.streams.totals import Totals

NEWEST = int(datetime(2024, 7, 3, 14, 30, tzinfo=timezone.utc).timestamp())
WELL = RecorderCounts(recorded=10, written=10)
BADLY = RecorderCounts(recorded=10, waiting=1, spooled=2, dropped=3, failed=4)


def test_status_line() -> None:
    first, again = Totals(), Totals(connections=1)
    assert first.status("okx", 1, connected=False) == "Connecting, to record 1 symbol from okx: 0 bars"
    assert again.status("binance", 2, connected=False) == "Reconnecting, to record 2 symbols from binance: 0 bars"
    totals = Totals(streamed=1_234, newest=NEWEST)
    assert totals.status("binance", 20, connected=True) == (
        "Recording 20 symbols from binance: 1,234 bars, newest 2024-07-03 10:30"
    )


def test_hourly_line() -> None:
    before = Totals(streamed=100, connections=1)
    totals = Totals(streamed=160, corrections=1, settled=120, connections=3, newest=NEWEST)
    assert totals.since(before, WELL) == (
        "60 bars, 1 correction, 120 settled bars, 2 connections; newest bar 2024-07-03 10:30"
    )
    assert (
        Totals().since(Totals(), BADLY).endswith("; no bar so far (1 waiting, 2 beside the store, 3 dropped, 4 lost)")
    )
    copy = totals.copy()
    totals.streamed += 1
    assert copy.streamed == 160


def test_summary() -> None:
    equal = Comparison(compared=2)
    totals = Totals(streamed=2, connections=1, settled=2, settled_until=NEWEST, comparison=equal)
    assert totals.summary("Alpaca (iex)", 2, BADLY).splitlines() == [
        "Recorded 2 bars of 2 symbols from Alpaca (iex), with 0 corrections and 1 connection (1 waiting, 2 beside the "
        "store, 3 dropped, 4 lost).",
        "Read 2 settled bars for backtests, up to 2024-07-03 10:30 in New York. The next recording or backtest reads "
        "later ones.",
        "Stream and REST: 2 bars, all equal.",
    ]
    assert "Stream" not in Totals().summary("Alpaca (iex)", 2, WELL)
