"""Lumibot's Polygon source and its cache."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting.__init__",
        "called",
        parameters=("datetime_start", "datetime_end", "pandas_data", "api_key", "max_memory", "**kwargs"),
    ),
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting._update_pandas_data",
        "emulated: which bars are loaded, and when",
        parameters=("asset", "quote", "length", "timestep", "start_dt"),
        digests=frozenset(("b5cc61b3978db66e",)),
    ),
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting._pull_source_symbol_bars",
        "overridden to load bars first",
        parameters=("asset", "length", "timestep", "timeshift", "quote", "exchange", "include_after_hours"),
        digests=frozenset(("30279aad74309704",)),
    ),
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting.get_last_price",
        "emulated: bars are loaded first",
        parameters=("asset", "timestep", "quote", "exchange", "**kwargs"),
        digests=frozenset(("d55651bf49a47654",)),
    ),
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting.get_chains",
        "overridden to read chains from the store",
        parameters=("asset", "quote", "exchange"),
        digests=frozenset(("bd16ad17246cbec8",)),
    ),
    Requirement(
        "lumibot.backtesting.polygon_backtesting:PolygonDataBacktesting.get_historical_prices_between_dates",
        "relied on: it loads bars by `_update_pandas_data`",
        digests=frozenset(("b67d68e80193e0ec",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData._set_pandas_data_keys",
        "called to fill the data store",
        parameters=("pandas_data",),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.get_start_datetime_and_ts_unit",
        "called: from when bars are needed",
        parameters=("length", "timestep", "start_dt", "start_buffer"),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:get_polygon_symbol",
        "called: the ticker of an asset",
        parameters=("asset", "polygon_client", "quote_asset"),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:get_missing_dates",
        "emulated: which days the cache lacks",
        digests=frozenset(("f37f8893c95234ed",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:get_trading_dates",
        "called, and emulated for the days of New York: on which days there are bars",
        parameters=("asset", "start", "end"),
        digests=frozenset(("a2aa7621f6524251",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:get_cached_schedule",
        "emulated: which days the calendar has",
        digests=frozenset(("dc8a0b765a894fa0",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:_option_chain_max_days", "called: how far ahead a chain reaches", parameters=()
    ),
    Requirement("lumibot.tools.polygon_helper:RECENT_FILE_TOLERANCE_DAYS", "read: how long a chain is reused"),
    Requirement(
        "lumibot.tools.polygon_helper:get_price_data_from_polygon",
        "emulated: what is downloaded and returned",
        parameters=("api_key", "asset", "start", "end", "timespan", "quote_asset", "force_cache_update", "max_workers"),
        digests=frozenset(("57dd953cb60126c3",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:load_cache",
        "emulated: the rows of a cache file",
        digests=frozenset(("f9b910be963d313c",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:update_cache",
        "emulated: the rows of days without bars",
        digests=frozenset(("9a36089d09588ee8",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:update_polygon_data",
        "emulated: columns and types of downloaded bars",
        digests=frozenset(("b524413ee3405f40",)),
    ),
    Requirement(
        "lumibot.tools.polygon_helper:get_chains_cached",
        "emulated: which chain is reused",
        parameters=("api_key", "asset", "quote", "exchange", "current_date", "polygon_client"),
        digests=frozenset(("bae94bee3f1b28ba",)),
    ),
)
