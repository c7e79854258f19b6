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
    Requirement(
        "lumibot.indicators.indicators:Indicators._dispatch",
        "wrapped to compute an indicator once instead of in each iteration",
        parameters=("asset", "timestep", "name", "kwargs", "custom_fn", "window", "quote", "exchange"),
        digests=frozenset(("bca2f7d8b58a309f",)),
    ),
    Requirement(
        "lumibot.indicators.indicators:Indicators._compute",
        "called: an indicator of a frame",
        parameters=("df", "name", "kwargs", "custom_fn"),
    ),
    Requirement(
        "lumibot.indicators.indicators:Indicators._record_consumed_input",
        "called: records the rows that an indicator was computed from",
        parameters=("asset", "timestep", "frame", "quote"),
    ),
    Requirement(
        "lumibot.indicators.indicators:Indicators._cache_key",
        "called: identifies an indicator with its parameters",
        parameters=("asset", "timestep", "name", "kwargs"),
    ),
    Requirement("lumibot.indicators.indicators:Indicators._cache", "computed indicators are kept in it"),
    Requirement("lumibot.indicators.indicators:IndicatorRow", "made of a row of values"),
)
