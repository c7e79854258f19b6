"""Lumibot's source of `Data` objects, which the Polygon source and the one for your own bars are derived from."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.__init__",
        "called",
        parameters=("*args", "pandas_data", "auto_adjust", "allow_option_quote_fallback", "**kwargs"),
    ),
    Requirement("lumibot.data_sources.pandas_data:PandasData._data_store", "read and filled: the data of each asset"),
    Requirement("lumibot.data_sources.pandas_data:PandasData.pandas_data", "read and filled: the data of each asset"),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData._pull_source_symbol_bars",
        "overridden to read windows",
        parameters=("asset", "length", "timestep", "timeshift", "quote", "exchange", "include_after_hours"),
        digests=frozenset(("5788ba4ab2c28d10",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData._parse_source_symbol_bars",
        "emulated: frames come with returns",
        parameters=("response", "asset", "quote", "length", "return_polars"),
        digests=frozenset(("a295c9fea01bd336",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._adjust_stale_daily_price_for_stock_split",
        "overridden to adjust without the whole frame",
        parameters=("data", "price", "dt"),
        digests=frozenset(("be9c1bf188e9f380",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._get_backtest_daily_corporate_action_frame",
        "overridden to find nothing among minutes and hours",
        parameters=("asset", "quote"),
        digests=frozenset(("bce38a48b6f5bda2",)),
    ),
    Requirement(
        "lumibot.data_sources.data_source:DataSource._daily_stock_split_frame_from_data",
        "relied on: only daily data have corporate actions",
        parameters=("data", "asset", "quote"),
        digests=frozenset(("9d29c56e3337deaf",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData._set_pandas_data_keys",
        "called to key data by asset and quote asset",
        parameters=("pandas_data",),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.find_asset_in_data_store",
        "called, and its result remembered",
        parameters=("asset", "quote", "timestep"),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.load_data",
        "extended to release memory",
        parameters=(),
        digests=frozenset(("f4ff483c5f3912a9",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.get_last_price",
        "relied on: it asks `Data` for a price",
        parameters=("asset", "quote", "exchange"),
        digests=frozenset(("2d4a1024541d77d7",)),
    ),
    Requirement(
        "lumibot.data_sources.pandas_data:PandasData.get_quote",
        "relied on: it asks `Data` for a quote",
        parameters=("asset", "quote", "exchange"),
    ),
    Requirement(
        "lumibot.entities.bars:Bars.__init__",
        "emulated: which returns it computes of a frame",
        digests=frozenset(("c1e55d024e0349de",)),
    ),
)
