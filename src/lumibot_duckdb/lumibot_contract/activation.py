"""Where Lumibot looks up the classes that ours replace."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("lumibot.strategies._strategy:_Strategy", "found to follow backtests"),
    Requirement(
        "lumibot._lazy_imports:lazy_class",
        "used where Lumibot itself imports a class when it is needed",
        parameters=("module_name", "class_name"),
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting", "replaced"),
    Requirement("lumibot.backtesting.ccxt_backtesting:CcxtBacktesting", "replaced"),
    Requirement("lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData", "replaced"),
    Requirement("lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting", "replaced"),
    Requirement("lumibot.data_sources.yahoo_data:YahooData", "replaced"),
    Requirement("lumibot.backtesting.yahoo_backtesting:YahooDataBacktesting", "replaced"),
)
