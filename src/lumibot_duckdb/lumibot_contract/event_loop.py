"""What a backtest's event loop reads at every step, which `event_loop_hooks` makes cheaper."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_BROKER = "lumibot.backtesting.backtesting_broker:BacktestingBroker"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("lumibot._lazy_imports:LazyModule", "replaced in Lumibot's modules when the module is loaded"),
    Requirement("lumibot._lazy_imports:LazyClassMeta", "replaced in Lumibot's modules when the class is loaded"),
    Requirement("lumibot._lazy_imports:LazyLogger", "replaced in Lumibot's modules when the logger is in use"),
    Requirement(
        f"{_BROKER}.initialize_market_calendars",
        "wrapped to keep times of another type, which is only compared and subtracted",
        parameters=("trading_days_df",),
        digests=frozenset(("1eb586367c79dc6a",)),
    ),
    Requirement(
        f"{_BROKER}.get_time_to_open",
        "reads the times",
        parameters=(),
        digests=frozenset(("44d0c3dc40e14cb8",)),
    ),
    Requirement(
        f"{_BROKER}.get_time_to_close",
        "reads the times",
        parameters=(),
        digests=frozenset(("f7a2b7f22636132b",)),
    ),
    Requirement(
        f"{_BROKER}._contiguous_session_time",
        "reads the times",
        parameters=("now", "idx"),
        digests=frozenset(("4fda03b1b7857fda",)),
    ),
    Requirement("lumibot.strategies.strategy_executor:Queue", "replaced by a simple queue"),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.process_queue",
        "takes from the queue",
        parameters=("skip_first_iteration_events",),
        digests=frozenset(("d0cd1480adf9739c",)),
    ),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.add_event",
        "puts into the queue",
        parameters=("event_name", "payload"),
        digests=frozenset(("9dd50d83ad2ab302",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._stock_split_cache_from_frame",
        "wrapped to read only rows with a split",
        parameters=("frame",),
        digests=frozenset(("1f2370fddb77a4a2",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource.get_yesterday_dividends",
        "wrapped to read only rows with a dividend",
        parameters=("assets", "quote"),
        digests=frozenset(("7dfd84c92c69fc00",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._get_backtest_daily_corporate_action_frame",
        "its frame may have the dividends",
        parameters=("asset", "quote"),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._normalize_stock_split_ratio",
        "decides that 0 is no split",
        parameters=("value",),
        digests=frozenset(("37630efbe5a2605b",)),
    ),
)
