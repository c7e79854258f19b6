"""Lumibot's CCXT source and its cache."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData.__init__",
        "emulated without connecting to the exchange",
        digests=frozenset(("c9fc2f9cffa04713",)),
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData._pull_source_symbol_bars",
        "overridden to read windows",
        parameters=("asset", "length", "timestep", "timeshift", "quote", "exchange", "include_after_hours"),
        digests=frozenset(("6b1325e5a98b2161",)),
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData.get_last_price",
        "overridden to read windows",
        parameters=("asset", "timestep", "quote", "exchange", "**kwargs"),
        digests=frozenset(("3f87220a582742c0",)),
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData._append_data",
        "emulated: the returns of a frame",
        parameters=("key", "data"),
        digests=frozenset(("2f433841b60de9fa",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._parse_source_timestep",
        "called: the exchange's name of a timestep",
        parameters=("timestep", "reverse"),
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData._to_utc_timezone",
        "called: times in UTC",
        parameters=("dt",),
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData._data_store",
        "read and filled: the frame of each market",
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData._download_start_dt_prebuffer",
        "read: how many candles before the start are loaded",
    ),
    Requirement(
        "lumibot.data_sources.ccxt_backtesting_data:CcxtBacktestingData.get_historical_prices_between_dates",
        "relied on: it asks the cache",
        parameters=("asset", "timestep", "quote", "exchange", "include_after_hours", "start_date", "end_date"),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB.__init__",
        "emulated without loading markets",
        digests=frozenset(("4937801cbe89a2cf", "89efd60a6f484f6e")),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._to_utc_naive", "called: times in UTC", parameters=("value",)
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._current_utc_naive",
        "overridden: the time of the first download",
        parameters=(),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._normalize_download_window",
        "called: what a download asks for",
        parameters=("start", "end"),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._split_download_range",
        "called: how a download is split",
        parameters=("start", "end", "timeframe", "limit"),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._count_timeframe_units",
        "called by the emulated cache",
        parameters=("start", "end", "timeframe"),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._empty_ohlcv_frame", "called: a frame without candles", parameters=()
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB.download_ohlcv",
        "emulated: what counts as downloaded",
        parameters=("symbol", "timeframe", "start", "end", "limit"),
        digests=frozenset(("88aaaaf2b91c1ce9",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB.get_data_from_cache",
        "emulated: what is read from the cache",
        parameters=("symbol", "timeframe", "start", "end"),
        digests=frozenset(("397a8575cb13857a",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._download_and_record_coverage",
        "emulated: what counts as downloaded",
        digests=frozenset(("48edfd08d66ba163",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._cache_ohlcv",
        "emulated: which candles are kept",
        digests=frozenset(("12a57d05b97d5491",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._coverage_range_from_rows",
        "emulated: what counts as downloaded",
        digests=frozenset(("119c550c2d9441f8",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._is_materially_underfilled",
        "emulated: when a download is repeated",
        digests=frozenset(("c9e72bcd531821fe",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._merge_coverage_ranges",
        "emulated: what counts as downloaded",
        digests=frozenset(("e167e2de1dd3ae25",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._calc_download_ranges",
        "emulated: what is downloaded",
        digests=frozenset(("09b293f6daf10403",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._find_non_overlapping_range",
        "emulated: what is downloaded",
        digests=frozenset(("d18f7d36e6bd9bc9",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._get_barset_from_api",
        "emulated: the candles of a download",
        digests=frozenset(("b7632094b86ec49f",)),
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._filter_executable_rows",
        "emulated: which candles are seen",
        digests=frozenset(("59def262627fe82a",)),
    ),
    Requirement(
        "lumibot.tools.symbol_normalization:build_ccxt_crypto_symbol",
        "called: the name of a market",
        parameters=("base_or_pair", "quote", "exchange_id"),
    ),
)
