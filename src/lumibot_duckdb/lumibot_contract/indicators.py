"""Lumibot's indicators, which read windows."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.indicators.indicators:Indicators._full_history",
        "wrapped to read as many rows as are needed",
        parameters=("asset", "timestep", "quote", "exchange", "required_length"),
    ),
    Requirement(
        "lumibot.indicators.indicators:Indicators._find_in_store",
        "called: the data of an asset",
        parameters=("data_source", "asset", "timestep", "quote"),
    ),
    Requirement("lumibot.indicators.indicators:Indicators._strategy", "read to find the source"),
)
