"""Lumibot's source for your own bars."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.backtesting.pandas_backtesting:PandasDataBacktesting.__init__",
        "called",
        parameters=("*args", "pandas_data", "**kwargs"),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.update_date_index",
        "called with outlines in place of frames",
        parameters=(),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.clean_trading_times",
        "emulated: the minutes of a trading day",
        parameters=("dt_index", "pcal"),
        digests=frozenset(("2ff634975377309e",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.get_trading_days_pandas",
        "emulated: the days of the index",
        parameters=(),
        digests=frozenset(("a01129245a4c6e70",)),
    ),
    Requirement("lumibot.data_sources.pandas_data:PandasData._timestep", "read: the steps of the clock"),
    Requirement("lumibot.data_sources.pandas_data:PandasData._date_index", "read: the times that the clock passes"),
)
