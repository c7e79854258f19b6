"""Lumibot's benchmark and risk-free rate, which sources serve from the store."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.strategies._strategy:_Strategy._dump_benchmark_stats",
        "wrapped to serve the benchmark from the store",
        parameters=(),
    ),
    Requirement(
        "lumibot.strategies.strategy:Strategy.risk_free_rate", "wrapped to serve the risk-free rate from the store"
    ),
    Requirement(
        "lumibot.strategies._strategy:_Strategy._benchmark_asset", "read to learn whether there is a benchmark"
    ),
    Requirement("lumibot.strategies._strategy:_Strategy._risk_free_rate", "read to learn whether a rate was set"),
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.fetch_symbol_data",
        "replaced while the benchmark is computed",
        parameters=("symbol", "caching", "last_needed_datetime", "interval"),
    ),
)
