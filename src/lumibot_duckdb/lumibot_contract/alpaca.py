"""Lumibot's Alpaca source."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.__init__",
        "called",
        parameters=(
            "datetime_start",
            "datetime_end",
            "backtesting_started",
            "config",
            "api_key",
            "show_progress_bar",
            "delay",
            "pandas_data",
            "**kwargs",
        ),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaOptionHistoryUnavailable", "raised for an option without bars"
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.get_last_price",
        "emulated: the bar that the clock is in",
        parameters=("asset", "quote", "exchange"),
        digests=frozenset(("c41f39345a7454f0",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.get_historical_prices",
        "emulated: which bars are seen",
        parameters=(
            "asset",
            "length",
            "timestep",
            "timeshift",
            "quote",
            "exchange",
            "include_after_hours",
            "return_polars",
            "remove_incomplete_current_bar",
            "_extend_history",
        ),
        digests=frozenset(("bdfc248828f8f339",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_option_historical_prices",
        "overridden to read windows",
        parameters=(
            "asset",
            "length",
            "timestep",
            "source_timestep",
            "resample_rule",
            "timeshift",
            "quote",
            "return_polars",
            "remove_incomplete_current_bar",
            "extend_history",
        ),
        digests=frozenset(("f8b47c221aadad21",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_option_last_price",
        "relied on: which bars of an option it asks for",
        parameters=("asset", "quote"),
        digests=frozenset(("7d40b3d742d8dd57",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.get_historical_prices_between_dates",
        "emulated: the whole frame",
        parameters=(
            "base_asset",
            "quote_asset",
            "timestep",
            "market",
            "tzinfo",
            "data_datetime_start",
            "data_datetime_end",
            "auto_adjust",
        ),
        digests=frozenset(("24766d272b0cf4ba",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._download_and_cache_ohlcv_data",
        "emulated: bars come from the store",
        parameters=(
            "base_asset",
            "quote_asset",
            "timestep",
            "market",
            "tzinfo",
            "data_datetime_start",
            "data_datetime_end",
            "auto_adjust",
        ),
        digests=frozenset(("f5b639e1d799511c",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._load_ohlcv_into_data_store",
        "overridden: there are no cache files",
        parameters=("key",),
        digests=frozenset(("4754cc36ded3c806",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_option_bars_frame",
        "called: the frame of an option",
        parameters=("asset", "quote", "timestep"),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._sanitize_base_and_quote_asset",
        "called: asset and quote of a request",
        parameters=("base_asset", "quote_asset"),
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._is_option", "called", parameters=("asset",)),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._normalize_timestep_for_source",
        "called: which bars a timestep is made of",
        parameters=("timestep",),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource.convert_timestep_str_to_timedelta",
        "called: how long a bar is",
        parameters=("timestep",),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._newest_bar_position",
        "emulated: when a bar has closed",
        parameters=("index", "search_datetime", "timestep", "remove_incomplete_current_bar"),
        digests=frozenset(("49e38128a21cdc73",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_trading_times_for_timestep",
        "emulated: the rows of a calendar",
        parameters=("pcal", "timestep"),
        digests=frozenset(("2f78b9f97c0f5c29",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._reindex_and_fill",
        "emulated: how gaps are filled",
        parameters=("df", "trading_times", "timestep"),
        digests=frozenset(("9c741330d1ce3701",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._bars_to_frame",
        "emulated: columns and types of bars",
        parameters=("bars",),
        digests=frozenset(("7c84f8d0ff962ecc",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._resample_ohlcv_dataframe",
        "called: how bars are aggregated",
        parameters=("df", "resample_rule"),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_asset_key",
        "called: the key of a frame",
        parameters=(
            "base_asset",
            "quote_asset",
            "timestep",
            "market",
            "tzinfo",
            "data_datetime_start",
            "data_datetime_end",
            "auto_adjust",
        ),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._history_request",
        "called: the request to Alpaca",
        parameters=(
            "base_asset",
            "quote_asset",
            "timestep",
            "data_datetime_start",
            "data_datetime_end",
            "auto_adjust",
            "request_end",
        ),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._history_start_needed",
        "called: how far back a request reaches",
        parameters=("search_datetime", "length", "timestep"),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._reach_back_for_history",
        "emulated: bars before the start of the backtest",
        parameters=("asset", "quote", "source_timestep", "frame", "search_datetime", "length", "timestep"),
        digests=frozenset(("ff83b569c3bd0842",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._history_segment",
        "emulated: bars before the start of the backtest",
        parameters=("asset", "quote", "source_timestep", "segment_start", "segment_end"),
        digests=frozenset(("72d0e3432d5f0e71",)),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_alpaca_timeframe",
        "called: Alpaca's bars of a timestep",
        parameters=("timestep",),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._parse_option_contract",
        "called: the contracts of a chain",
        parameters=("contract", "root"),
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.get_chains",
        "emulated: which expirations a chain has",
        parameters=("asset", "quote"),
        digests=frozenset(("2b88a2aee65cbf2a",)),
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._as_date", "called", parameters=("value",)),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._empty_chain", "called", parameters=("symbol",)
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._copy_chain", "called", parameters=("chain",)
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._option_chain_max_days",
        "read: how far ahead a chain reaches",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.OPTION_CHAIN_LISTING_EXTRA_DAYS",
        "read: how far ahead contracts are listed",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.ALPACA_MAX_REQUESTS_PER_MINUTE",
        "read: the rate limit",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.OPTION_HISTORY_START_HINT",
        "read for an error message",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.LUMIBOT_DEFAULT_QUOTE_ASSET",
        "read: the quote of an asset without one",
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._alpaca_credentials", "read: the keys"),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._timestep", "read: the timestep of the backtest"
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._datetime", "read: the time of the backtest"),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._remove_incomplete_current_bar", "read: a setting"
    ),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._history_before_start", "read: a setting"),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._auto_adjust", "read: a setting"),
    Requirement("lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._refresh_cache", "read: a setting"),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._refreshed_keys",
        "read and filled: what was downloaded anew",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._data_store",
        "read and filled: the frame of each asset",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._data_datetime_start",
        "read: the window of the backtest",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._data_datetime_end",
        "read: the window of the backtest",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._trading_days", "read: the days of the market"
    ),
    Requirement("lumibot.tools.helpers:get_decimals", "called: decimals of a price", parameters=("number",)),
    Requirement(
        "lumibot.tools.helpers:quantize_to_num_decimals", "called: a rounded price", parameters=("num", "num_decimals")
    ),
    Requirement(
        "lumibot.tools.helpers:get_trading_days",
        "called: the days of a market",
        parameters=("market", "start_date", "end_date", "tzinfo"),
    ),
    Requirement(
        "lumibot.tools.shared_bar_cache:validate_rows",
        "called: whether bars are plausible",
        parameters=("rows",),
        formerly="lumibot.tools.alpaca_history:_valid_rows",  # until 4.6.24
    ),
)
