"""What a backtest's event loop reads at every step, which `event_loop_hooks` makes cheaper."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_BROKER = "lumibot.backtesting.backtesting_broker:BacktestingBroker"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("lumibot._lazy_imports:LazyModule._load", "called for modules that are loaded", parameters=()),
    Requirement("lumibot._lazy_imports:LazyClassMeta._load", "called for classes that are loaded", parameters=()),
    Requirement("lumibot._lazy_imports:LazyLogger._load", "called for loggers that are in use", parameters=()),
    Requirement(
        f"{_BROKER}.initialize_market_calendars",
        "wrapped to keep times of another type, which is only compared and subtracted",
        parameters=("trading_days_df",),
        digests=frozenset(("1eb586367c79dc6a",)),
    ),
    Requirement(f"{_BROKER}.get_time_to_open", "reads the times", parameters=(), digests=frozenset(("44d0c3dc40e14cb8",))),
    Requirement(f"{_BROKER}.get_time_to_close", "reads the times", parameters=(), digests=frozenset(("f7a2b7f22636132b",))),
    Requirement(
        f"{_BROKER}._contiguous_session_time", "reads the times", parameters=("now", "idx"), digests=frozenset(("4fda03b1b7857fda",))
    ),
    Requirement(
        f"{_BROKER}._is_market_open_dict", "reads the sessions", parameters=("now",), digests=frozenset(("b74af4db424c169f",))
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
)
