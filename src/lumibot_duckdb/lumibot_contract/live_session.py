"""What the recorder of live sessions wraps and reads while a strategy trades."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.run",
        "wrapped to record a session of live trading",
        parameters=(),
    ),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.run_once",
        "wrapped to record a session of a single iteration",
        parameters=(),
    ),
    Requirement("lumibot.strategies.strategy_executor:StrategyExecutor.exception", "read to learn why a session ended"),
    Requirement("lumibot.strategies.strategy_executor:StrategyExecutor.strategy", "read to find the strategy"),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._append_row",
        "wrapped to record the values of the portfolio",
        parameters=("row",),
    ),
    Requirement("lumibot.strategies._strategy:_Strategy._name", "read: the name of a session"),
    Requirement("lumibot.strategies._strategy:_Strategy._quote_asset", "read: a setting of a session"),
    Requirement(
        "lumibot.brokers.broker:Broker._trade_event_log_rows", "replaced by a list that records what is appended"
    ),
    Requirement("lumibot.brokers.broker:Broker._trade_event_log_columns", "read: the columns of the trade events"),
    Requirement(
        "lumibot.brokers.broker:Broker.get_tracked_order",
        "called for the quantity and the prices of an order",
        accepts=("identifier", "use_placeholders"),
    ),
    Requirement(
        "lumibot.strategies.strategy:Strategy.get_historical_prices",
        "wrapped to record what a strategy sees",
        accepts=("asset", "length", "timestep", "quote"),
    ),
    Requirement(
        "lumibot.strategies.strategy:Strategy.get_historical_prices_for_assets",
        "wrapped to record what a strategy sees",
        accepts=("assets", "length", "timestep"),
    ),
    Requirement(
        "lumibot.strategies.strategy:Strategy.get_last_price",
        "wrapped to record what a strategy sees",
        accepts=("asset", "quote"),
    ),
    Requirement(
        "lumibot.strategies.strategy:Strategy.get_last_prices",
        "wrapped to record what a strategy sees",
        accepts=("assets", "quote"),
    ),
    Requirement("lumibot.entities.bars:Bars._return_polars", "read to learn which kind of frame a strategy gets"),
)
