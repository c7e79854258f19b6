"""How Lumibot's live sources read bars: what is wrapped to record them."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.tools.shared_bar_cache:read_bars_many",
        "wrapped to record bars; what it does not fetch counts as covered by its cache",
        accepts=("series_list", "start", "end", "fetch", "now", "coverage_from_rows"),
    ),
    Requirement("lumibot.tools.shared_bar_cache:read_bars", "relied on: it calls `read_bars_many`"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries.provider", "read to identify a series"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries.symbol", "read to identify a series"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries.timestep", "read to identify a series"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries.contract", "read to identify a series"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries.adjusted", "read: whether past prices may change"),
    Requirement(
        "lumibot.tools.shared_bar_cache:settle_margin",
        "relied on: live bars are settled after the same margin",
        parameters=(),
    ),
    Requirement(
        "lumibot.tools.shared_bar_cache:validate_rows",
        "called: whether bars are plausible",
        parameters=("rows",),
    ),
    Requirement(
        "lumibot.tools.shared_bar_cache:structurally_valid",
        "called: whether bars are usable",
        parameters=("rows",),
    ),
    Requirement(
        "lumibot.data_sources.interactive_brokers_rest_data:InteractiveBrokersRESTData.get_historical_prices",
        "wrapped to learn whose bars are read",
        accepts=("asset",),
    ),
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.download_symbol_data",
        "wrapped to record bars",
        parameters=("symbol", "interval"),
    ),
    Requirement(
        "lumibot.strategies.strategy_executor:StrategyExecutor.broker",
        "read to tell backtests from live trading",
    ),
    Requirement(
        "lumibot.brokers.broker:Broker.IS_BACKTESTING_BROKER",
        "read to tell backtests from live trading",
    ),
)
