"""The formats of Lumibot's own caches, which `migrate` reads: the requirements of each reader."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

POLYGON: tuple[Requirement, ...] = (
    Requirement("lumibot.tools.polygon_helper:build_cache_filename", "emulated: the names of cache files"),
    Requirement("lumibot.tools.polygon_helper:update_cache", "emulated: the rows of days without bars"),
)

YAHOO: tuple[Requirement, ...] = (
    Requirement("lumibot.tools.yahoo_helper:_YahooData", "read from pickles, by name"),
    Requirement("lumibot.tools.yahoo_helper:_YahooData.data", "read from pickles, by name"),
)

ALPACA: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting._get_asset_key", "emulated: the names of cache files"
    ),
)

SHARED_BARS: tuple[Requirement, ...] = (
    Requirement("lumibot.tools.shared_bar_cache:SCHEMA", "read: the version of the shared cache"),
    Requirement("lumibot.tools.shared_bar_cache:BarSeries", "used: the folder of a series"),
    Requirement(
        "lumibot.tools.shared_bar_cache:credential_scope",
        "called: the folder of an account",
        parameters=("provider", "*identity"),
    ),
    Requirement(
        "lumibot.tools.shared_bar_cache:validate_rows", "called: whether bars are plausible", parameters=("rows",)
    ),
)

CCXT: tuple[Requirement, ...] = (
    Requirement("lumibot.tools.ccxt_data_store:CcxtCacheDB.get_cache_file_name", "emulated: the names of cache files"),
    Requirement(
        "lumibot.tools.symbol_normalization:build_ccxt_crypto_symbol",
        "called: the name of a market",
        parameters=("base_or_pair", "quote", "exchange_id"),
    ),
)
