"""Lumibot's indicators, which read windows."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.indicators.indicators:Indicators._full_history",
        "wrapped to read as many rows as are needed",
        parameters=("asset", "timestep", "quote", "exchange", "required_length"),
        digests=frozenset(("490c9117ca58a015",)),
    ),
    Requirement(
        "lumibot.indicators.indicators:Indicators._find_in_store",
        "called: the data of an asset",
        parameters=("data_source", "asset", "timestep", "quote"),
        digests=frozenset(("40fc5ce5188ab3d7",)),
    ),
    Requirement("lumibot.indicators.indicators:Indicators._strategy", "read to find the source"),
)
