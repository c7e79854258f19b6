"""What sweeps wrap and read: the call of a backtest, its parameters, and its values while it runs."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.lifecycle import RUN_ALL_PARAMETERS
from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.strategies._strategy:_Strategy.run_backtest",
        "wrapped to run a backtest with other parameters",
        accepts=(
            "datasource_class",
            "backtesting_start",
            "backtesting_end",
            "stats_file",
            "logfile",
            "name",
            "analyze_backtest",
            "plot_file_html",
            "trades_file",
            "settings_file",
            "show_plot",
            "tearsheet_file",
            "tearsheet_metrics_file",
            "save_tearsheet",
            "show_tearsheet",
            "parameters",
            "indicators_file",
            "show_indicators",
            "save_logfile",
            "show_progress_bar",
            "quiet_logs",
            "save_stats_file",
        ),
    ),
    Requirement(
        "lumibot.strategies._strategy:_get_strategy_parameters",
        "read: the parameters that environment variables set",
        parameters=(),
    ),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._append_row",
        "wrapped to learn the values of a running backtest",
        parameters=("row",),
    ),
    Requirement(
        "lumibot.traders.trader:Trader.run_all", "wrapped to refuse live trading", parameters=RUN_ALL_PARAMETERS
    ),
    Requirement("lumibot.traders.trader:Trader._strategies", "read to find the strategies of a run"),
    Requirement("lumibot.traders.trader:Trader.is_backtest_broker", "read to refuse live trading"),
    Requirement("lumibot.traders.trader:Trader.add_strategy", "wrapped to find the strategy", parameters=("strategy",)),
    Requirement("lumibot.entities.asset:Asset._cached_hash", "left out of pickles"),
)
