"""Lumibot's strategies, traders and indicators: their private attributes and hooks under public names.

Nothing of Lumibot's is imported before a function needs it, because a script may still set what Lumibot reads when it
is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.lumibot_contract.indicator_dispatch import wrap_dispatch

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

STRATEGY_MODULE = "lumibot.strategies._strategy"
"""The module in which Lumibot looks up data sources, and which defines the base of all strategies."""

TRADER_MODULE = "lumibot.traders.trader"
"""The module of the class that runs strategies."""

SETTINGS = (
    "backtesting_start",
    "backtesting_end",
    "parameters",
    "_initial_budget",
    "_quote_asset",
    "_benchmark_asset",
    "_risk_free_rate",
    "buy_trading_fees",
    "sell_trading_fees",
    "buy_trading_slippages",
    "sell_trading_slippages",
)
"""Attributes of a strategy that tell its backtests apart."""

Wrap = Callable[[Any], Any]
"""Returns the replacement of a method."""


# -- where things are ------------------------------------------------------------------------------------------


def strategy_module() -> ModuleType:
    """Return the module that `STRATEGY_MODULE` names."""
    return import_module(STRATEGY_MODULE)


def strategy_base(module: ModuleType | None = None) -> Any:
    """Return the base class of all strategies; without its `module`, import that."""
    return (module or strategy_module())._Strategy


def lazy_class(module: str, name: str) -> Any:
    """Return Lumibot's lazy placeholder for a class, which imports the class when it is used."""
    return import_module("lumibot._lazy_imports").lazy_class(module, name)


# -- what a backtest holds ---------------------------------------------------------------------------------------


def strategies_of(trader: Any) -> list[Any]:
    """Return the strategies that a trader runs."""
    return list(trader._strategies)


def name_of(strategy: Any) -> str:
    """Return the name that a strategy was given, or else that of its class."""
    return str(strategy._name or type(strategy).__name__)


def settings_of(strategy: Any) -> list[Any]:
    """Return the values of `SETTINGS`, without the bars that Lumibot adds to a strategy's parameters."""
    settings = {name: getattr(strategy, name) for name in SETTINGS}
    if isinstance(settings["parameters"], dict):
        settings["parameters"] = parameters_of(strategy)
    return list(settings.values())


def parameters_of(strategy: Any) -> dict[Any, Any]:
    """Return the parameters of a strategy, without the bars that Lumibot adds to them."""
    parameters = strategy.parameters
    if not isinstance(parameters, dict):
        return {}
    return {name: value for name, value in parameters.items() if name != "pandas_data"}


def parameters_of_environment() -> dict[str, Any]:
    """Return the parameters that environment variables set, which override those of a script."""
    module: Any = strategy_module()
    found = module._get_strategy_parameters()
    return dict(found) if isinstance(found, dict) else {}


def override_parameters_of_environment(values: Mapping[str, Any]) -> None:
    """Let some values take precedence over those of environment variables, until this process ends."""
    parameters = parameters_of_environment()
    if parameters:
        module: Any = strategy_module()
        module._get_strategy_parameters = lambda: {**parameters, **values}


def benchmark_asset(strategy: Any) -> Any:
    """Return the benchmark of a backtest; None if it has none."""
    return strategy._benchmark_asset


def benchmark_returns(strategy: Any) -> pd.DataFrame | None:
    """Return the returns of the benchmark once they are computed."""
    frame = strategy._benchmark_returns_df
    converted: pd.DataFrame | None = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    return converted


def daily_returns(strategy: Any) -> pd.DataFrame | None:
    """Return the returns from which Lumibot computes its tear sheet: of each calendar day, with days in UTC.

    The columns are "strategy" and, if the benchmark has been computed, "benchmark". None if Lumibot has computed no
    values, because an error stopped the backtest or it had no iteration.
    """
    import pandas as pd
    from lumibot.tools.indicators import _prepare_tearsheet_returns

    values = strategy._strategy_returns_df
    if values is None:
        return None
    benchmark = benchmark_returns(strategy)
    if benchmark is not None and isinstance(benchmark.index, pd.DatetimeIndex):
        both: pd.DataFrame | None = _prepare_tearsheet_returns(values, benchmark)
        if both is not None:
            return both
    flat = pd.DataFrame({"symbol_cumprod": 1.0}, index=values.index)
    found = _prepare_tearsheet_returns(values, flat)
    return None if found is None else found[["strategy"]]


def has_risk_free_rate(strategy: Any) -> bool:
    """Return whether a strategy was given a risk-free rate, or has looked it up."""
    return strategy._risk_free_rate is not None


def given_risk_free_rate(strategy: Any) -> float | None:
    """Return the risk-free rate that a strategy was given; None if it was given none."""
    rate = strategy._risk_free_rate
    return None if rate is None else float(rate)


def trade_events(strategy: Any) -> pd.DataFrame:
    """Return the log of trade events of a backtest."""
    events: pd.DataFrame = strategy.broker._trade_event_log_df
    return events


def portfolio_values(strategy: Any) -> pd.DataFrame:
    """Return the values of the portfolio over time, also of a backtest that was stopped."""
    import pandas as pd

    values: pd.DataFrame = (
        strategy.stats.reset_index() if strategy.stats is not None else pd.DataFrame(strategy._stats_list)
    )
    return values


def analysis_of(strategy: Any) -> dict[Any, Any]:
    """Return the statistics of a backtest; empty if they are not computed yet."""
    return strategy._analysis or {}


def progress_of(strategy: Any) -> float:
    """Return which part of a backtest's span has passed (0 to 1)."""
    source = strategy.broker.data_source
    start, end = source.datetime_start, source.datetime_end
    passed = (strategy.get_datetime() - start) / (end - start)
    return min(max(float(passed), 0.0), 1.0)


def chart_points(strategy: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the markers, lines and bars that a strategy has added to its charts, each with its kind."""
    for kind in ("markers", "lines", "ohlc"):
        for point in getattr(strategy, f"_chart_{kind}_list"):
            yield kind, point


def polars_frame_of(bars: Any) -> pl.DataFrame | None:
    """Return the frame of bars that a strategy has requested as a polars frame; None for a pandas frame."""
    frame: pl.DataFrame | None = bars.polars_df if bars._return_polars else None
    return frame


def strategy_of(indicators: Any) -> Any:
    """Return the strategy that `self.indicators` belongs to."""
    return indicators._strategy


def move_stats_file(strategy: Any, moved: Callable[[Any], Path]) -> None:
    """Redirect the statistics file of a strategy that writes one."""
    if strategy._stats_file:
        strategy._stats_file = str(moved(strategy._stats_file))


# -- hooks -------------------------------------------------------------------------------------------------------


def connects_at_once(broker: Any) -> bool:
    """Return whether a broker whose settings decide this connects when it is constructed."""
    return bool(getattr(broker, "_connect_on_init", False))


def account_readers() -> list[tuple[Any, str, Any]]:
    """Return the methods that read a live broker's account: owner, name, and a method that leaves it unread."""
    from lumibot.brokers.broker import Broker

    base = strategy_base()
    update_balances = base.update_broker_balances

    def update_broker_balances(strategy: Any, *args: Any, **kwargs: Any) -> Any:
        return update_balances(strategy, *args, **kwargs) if strategy.is_backtesting else False

    return [
        (base, "update_broker_balances", update_broker_balances),
        (Broker, "_set_initial_positions", lambda broker, strategy: None),
    ]


def wrap_iterations(note: Callable[[Mapping[str, Any]], None]) -> None:
    """Call `note` after each iteration of all strategies with its "datetime", "portfolio_value" and so on."""
    base = strategy_base()
    append = base._append_row

    def append_and_note(strategy: Any, row: Mapping[str, Any]) -> None:
        append(strategy, row)
        note(row)

    base._append_row = append_and_note


def wrap_market_type(wrap: Wrap) -> None:
    """Wrap the method of all executors that finds out whether a market, by its name, trades around the clock."""
    from lumibot.strategies.strategy_executor import StrategyExecutor

    StrategyExecutor._is_continuous_market = wrap(StrategyExecutor._is_continuous_market)


def wrap_analysis(wrap: Wrap) -> None:
    """Wrap the methods of all strategies that analyse a backtest at its end."""
    base = strategy_base()
    for name in ("_dump_stats", "backtest_analysis"):
        setattr(base, name, wrap(getattr(base, name)))


def wrap_benchmark(wrap: Wrap) -> None:
    """Wrap the method of all strategies that computes the returns of the benchmark."""
    base = strategy_base()
    base._dump_benchmark_stats = wrap(base._dump_benchmark_stats)


def wrap_risk_free_rate(wrap: Wrap) -> None:
    """Wrap the method behind the property `risk_free_rate` of all strategies."""
    from lumibot.strategies.strategy import Strategy

    Strategy.risk_free_rate = property(wrap(Strategy.risk_free_rate.fget), doc=Strategy.risk_free_rate.__doc__)


def wrap_indicators(wrap: Wrap) -> None:
    """Wrap the method of `self.indicators` that computes every indicator.

    Its parameters are `asset, timestep, name, kwargs, custom_fn`, and keywords.
    """
    wrap_dispatch(wrap)
