"""What the recorder of `compare` wraps and reads in a running backtest."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.lifecycle import RUN_ALL_PARAMETERS
from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.traders.trader:Trader.run_all",
        "wrapped to record a run",
        parameters=RUN_ALL_PARAMETERS,
    ),
    Requirement("lumibot.traders.trader:Trader._strategies", "read to find the strategies of a run"),
    Requirement("lumibot.traders.trader:Trader.is_backtest_broker", "read to refuse live trading"),
    Requirement("lumibot.traders.trader:Trader.logdir", "set to the folder of the comparison"),
    Requirement("lumibot.traders.trader:Trader.logfile", "set to the folder of the comparison"),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.run",
        "wrapped to record a backtest in its own thread",
        parameters=(),
    ),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.exception", "read to learn why a backtest stopped"
    ),
    Requirement("lumibot.strategies.strategy_executor:StrategyExecutor.strategy", "read to find the strategy"),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._dump_stats",
        "wrapped to measure how long the analysis takes",
        parameters=(),
    ),
    Requirement(
        "lumibot.strategies._strategy:_Strategy.backtest_analysis", "wrapped to measure how long the analysis takes"
    ),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._dump_benchmark_stats", "wrapped to record the benchmark", parameters=()
    ),
    Requirement("lumibot.strategies._strategy:_Strategy._name", "read for the report"),
    Requirement("lumibot.strategies._strategy:_Strategy._stats_file", "set to the folder of the comparison"),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._stats_list", "read: the values of a backtest that was stopped"
    ),
    Requirement("lumibot.strategies._strategy:_Strategy._analysis", "read: the statistics of the backtest"),
    Requirement("lumibot.strategies._strategy:_Strategy._benchmark_returns_df", "read: the returns of the benchmark"),
    Requirement("lumibot.strategies._strategy:_Strategy._benchmark_asset", "read: the benchmark"),
    Requirement("lumibot.strategies._strategy:_Strategy._strategy_returns_df", "read: the values of the tear sheet"),
    Requirement(
        "lumibot.tools.indicators:_prepare_tearsheet_returns",
        "called for the daily returns of the tear sheet",
        parameters=("strategy_df", "benchmark_df"),
    ),
    Requirement("lumibot.strategies.strategy:Strategy.risk_free_rate", "wrapped to note the rate of the tear sheet"),
    Requirement("lumibot.strategies._strategy:_Strategy._risk_free_rate", "read: a setting of the backtest"),
    Requirement("lumibot.strategies._strategy:_Strategy._initial_budget", "read: a setting of the backtest"),
    Requirement("lumibot.strategies._strategy:_Strategy._quote_asset", "read: a setting of the backtest"),
    Requirement("lumibot.brokers.broker:Broker._trade_event_log_df", "read: the trades"),
    Requirement("lumibot.brokers.broker:Broker.submit_order", "wrapped to record orders", parameters=("order",)),
    Requirement(
        "lumibot.brokers.broker:Broker.modify_order",
        "wrapped to record orders",
        parameters=("order", "stop_price", "limit_price"),
    ),
    Requirement(
        "lumibot.backtesting.backtesting_broker:BacktestingBroker.process_pending_orders",
        "wrapped to record which orders have changed",
        parameters=("strategy",),
    ),
    Requirement("lumibot.entities.order:Order._trail_stop_price", "read: a field of an order"),
    Requirement("lumibot.strategies._strategy:_Strategy._chart_markers_list", "read: the markers of the charts"),
    Requirement("lumibot.strategies._strategy:_Strategy._chart_lines_list", "read: the lines of the charts"),
    Requirement("lumibot.strategies._strategy:_Strategy._chart_ohlc_list", "read: the bars of the charts"),
    Requirement("lumibot.entities.bars:Bars._return_polars", "read to learn which kind of frame a strategy gets"),
    Requirement(
        "lumibot.indicators.indicators:Indicators._dispatch",
        "wrapped to record what indicators return",
        parameters=("asset", "timestep", "name", "kwargs", "custom_fn", "window", "quote", "exchange"),
    ),
    Requirement("lumibot.indicators.indicators:Indicators._strategy", "read to find the strategy of an indicator"),
    Requirement("lumibot.backtesting.data_provenance:write_backtest_data_provenance", "wrapped to move its files"),
    Requirement(
        "lumibot.backtesting.market_input_evidence:write_market_input_evidence",
        "called for the bars that a strategy was given",
    ),
)
