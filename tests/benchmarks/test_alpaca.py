"""The Alpaca benchmarks use bars that both sides accept as Alpaca's."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("timestep", ["minute", "5minute", "day"])
def test_alpacas_bars_are_such_as_lumibot_takes(timestep):
    from lumibot.tools.shared_bar_cache import validate_rows

    from benchmarks.alpaca.bars import alpaca_bars

    bars = alpaca_bars("SIM001", timestep)
    assert list(bars.columns) == ["open", "high", "low", "close", "volume", "trade_count", "vwap"]
    assert set(map(str, bars.dtypes)) == {"float64"}
    assert validate_rows(bars)
