"""How Lumibot runs a backtest: whose it is, and when it ends."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

RUN_ALL_PARAMETERS = (
    "async_",
    "show_plot",
    "show_tearsheet",
    "save_tearsheet",
    "show_indicators",
    "plot_file_html",
    "trades_file",
    "trade_events_file",
    "settings_file",
    "indicators_file",
    "tearsheet_csv_file",
    "tearsheet_file",
    "tearsheet_metrics_file",
    "base_filename",
    "run_once",
)
"""The parameters of `Trader.run_all`, which is wrapped both here and to record a run."""

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.strategies._strategy:_Strategy.run_backtest",
        "wrapped to learn which strategy a source is made for",
        accepts=("datasource_class", "name"),
    ),
    Requirement(
        "lumibot.traders.trader:Trader.run_all",
        "wrapped to report which sources a run uses, and what they did",
        parameters=RUN_ALL_PARAMETERS,
    ),
    Requirement("lumibot.traders.trader:Trader._strategies", "read to find the sources of a run"),
)
