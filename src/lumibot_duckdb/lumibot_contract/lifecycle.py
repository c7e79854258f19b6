"""How Lumibot runs a backtest: whose it is, and when it ends."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.strategies._strategy:_Strategy.run_backtest",
        "wrapped to learn which strategy a source is made for",
        accepts=("datasource_class", "name"),
    ),
    Requirement(
        "lumibot.traders.trader:Trader.run_all",
        "wrapped to report which sources a run uses, and what they did",
        parameters=(
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
        ),
    ),
    Requirement("lumibot.traders.trader:Trader._strategies", "read to find the sources of a run"),
)
