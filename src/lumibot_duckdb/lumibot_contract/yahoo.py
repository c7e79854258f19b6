"""Lumibot's Yahoo source."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData.__init__",
        "called",
        parameters=("auto_adjust", "datetime_start", "datetime_end", "**kwargs"),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._pull_source_symbol_bars",
        "overridden to read windows",
        parameters=("asset", "length", "timestep", "timeshift", "quote", "exchange", "include_after_hours"),
        digests=frozenset(("09a2863c74b062f7",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._pull_source_bars",
        "overridden for assets that are not loaded yet",
        parameters=("assets", "length", "timestep", "timeshift", "quote", "include_after_hours"),
        digests=frozenset(("f412f5ae687971ae",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._get_source_symbol_data",
        "overridden to load from the store",
        parameters=("asset", "timestep"),
        digests=frozenset(("c6319b925b9f14df",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._get_filtered_end_index",
        "emulated: which rows are seen",
        parameters=("data", "timestep", "timeshift", "asset"),
        digests=frozenset(("aa285e09bb62ccd2",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._get_last_daily_open_price",
        "emulated: the open of the last day",
        parameters=("asset", "timestep", "quote", "exchange"),
        digests=frozenset(("c4c7ac487ef632e9",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._append_data",
        "emulated: columns and returns of a frame",
        parameters=("asset", "data", "interval"),
        digests=frozenset(("5f04545e5c499355",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._store_key",
        "called: the key of a frame",
        parameters=("asset", "interval"),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._format_futures_symbol",
        "called: Yahoo's symbols of a future",
        parameters=("symbol",),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._format_index_symbol",
        "called: Yahoo's symbols of an index",
        parameters=("symbol",),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._parse_source_symbol_bars",
        "relied on: it leaves the frame unchanged",
        parameters=("response", "asset", "quote", "length"),
        digests=frozenset(("8dce133d9ffd2299",)),
    ),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData.get_last_price",
        "relied on: which frame it asks",
        parameters=("asset", "timestep", "quote", "exchange", "**kwargs"),
        digests=frozenset(("b7e83eec6dbb3ea9",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._parse_source_timestep",
        "called: Yahoo's interval of a timestep",
        parameters=("timestep", "reverse"),
    ),
    Requirement("lumibot.data_sources.yahoo_data:YahooData._data_store", "read and filled: the frame of each asset"),
    Requirement(
        "lumibot.data_sources.yahoo_data:YahooData._data_open_values", "read and filled: the opens of each asset"
    ),
    Requirement(
        "lumibot.data_sources.data_source_backtesting:DataSourceBacktesting._datetime", "read: the time of the backtest"
    ),
)
