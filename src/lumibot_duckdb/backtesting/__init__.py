"""Lumibot data sources on the store. Names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.sources.alpaca.source import AlpacaBacktesting
    from lumibot_duckdb.sources.ccxt.source import CcxtBacktesting, CcxtBacktestingData
    from lumibot_duckdb.sources.custom.source import ProviderDataBacktesting
    from lumibot_duckdb.sources.own_bars.source import PandasDataBacktesting
    from lumibot_duckdb.sources.polygon.source import PolygonDataBacktesting
    from lumibot_duckdb.sources.shared.enhanced_data_source import EnhancedDataSourceBacktesting
    from lumibot_duckdb.sources.yahoo.source import YahooData, YahooDataBacktesting
    from lumibot_duckdb.windows.windowed_data import WindowedData

__all__ = [
    "AlpacaBacktesting",
    "CcxtBacktesting",
    "CcxtBacktestingData",
    "EnhancedDataSourceBacktesting",
    "PandasDataBacktesting",
    "PolygonDataBacktesting",
    "ProviderDataBacktesting",
    "WindowedData",
    "YahooData",
    "YahooDataBacktesting",
]

_HOME = {
    "AlpacaBacktesting": "sources.alpaca.source",
    "CcxtBacktesting": "sources.ccxt.source",
    "CcxtBacktestingData": "sources.ccxt.source",
    "EnhancedDataSourceBacktesting": "sources.shared.enhanced_data_source",
    "PandasDataBacktesting": "sources.own_bars.source",
    "PolygonDataBacktesting": "sources.polygon.source",
    "ProviderDataBacktesting": "sources.custom.source",
    "WindowedData": "windows.windowed_data",
    "YahooData": "sources.yahoo.source",
    "YahooDataBacktesting": "sources.yahoo.source",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"lumibot_duckdb.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
