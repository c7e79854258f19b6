"""A backtest across the date of a rename sees one series; one that runs keeps what it has pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from windows.stored_minutes import NEW_YORK, minutes

BARS = minutes(1, days=5, start="2024-01-08")
DATE = pd.Timestamp("2024-01-10", tz=NEW_YORK)
START, END = (pd.Timestamp(time, tz=NEW_YORK).to_pydatetime() for time in ("2024-01-09 09:30", "2024-01-11 16:00"))


def opened(storage: DuckDBDataStorage, symbol: str) -> Any:
    configured = PandasDataBacktesting.using(storage, assets=[symbol])
    source = configured(datetime_start=START, datetime_end=END, show_progress_bar=False)
    source.load_data()
    return source


def seen(source: Any, symbol: str) -> list[Any]:
    """Return what a strategy sees of a symbol before and after the date, and across it."""
    answers: list[Any] = []
    for time in ("2024-01-09 12:00", "2024-01-10 09:31", "2024-01-11 10:00"):
        source._update_datetime(pd.Timestamp(time, tz=NEW_YORK).to_pydatetime())
        answers.append(source.get_last_price(Asset(symbol)))
        for length, timestep in ((500, "minute"), (30, "15 minutes"), (2, "day")):
            bars = source.get_historical_prices(Asset(symbol), length, timestep)
            answers.append(None if bars is None else bars.df)
    return answers


def assert_equal(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        if isinstance(left, pd.DataFrame):
            pd.testing.assert_frame_equal(left, right, check_exact=True)
        else:
            assert left == right


def test_a_backtest_across_the_date_sees_one_series(tmp_path: Path) -> None:
    whole, renamed = DuckDBDataStorage(tmp_path / "whole.duckdb"), DuckDBDataStorage(tmp_path / "renamed.duckdb")
    whole.store_ohlcv_data("META", BARS, "own", "minute")
    renamed.store_ohlcv_data("FB", BARS[BARS.index < DATE], "own", "minute")
    renamed.store_ohlcv_data("META", BARS[BARS.index >= DATE], "own", "minute")
    renamed.rename("FB", "META", DATE.date())
    assert_equal(seen(opened(renamed, "META"), "META"), seen(opened(whole, "META"), "META"))


def test_a_backtest_that_runs_keeps_its_bars(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path)
    storage.store_ohlcv_data("FB", BARS, "own", "minute")
    expected = seen(opened(storage, "FB"), "FB")
    for old, new, date in (("FB", "META", None), ("META", "FB", DATE.date())):
        running = opened(storage, old)
        other = DuckDBDataStorage(storage.path)
        other.rename(old, new, date)
        assert_equal(seen(running, old), expected)
