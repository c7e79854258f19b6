"""Lumibot data sources on the store. Names load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.backtesting.alpaca import AlpacaBacktesting
    from lumibot_duckdb.backtesting.ccxt import CcxtBacktesting, CcxtBacktestingData
    from lumibot_duckdb.backtesting.enhanced_data_source import EnhancedDataSourceBacktesting
    from lumibot_duckdb.backtesting.polygon import PolygonDataBacktesting
    from lumibot_duckdb.backtesting.stored import PandasDataBacktesting
    from lumibot_duckdb.backtesting.windows.windowed_data import WindowedData
    from lumibot_duckdb.backtesting.yahoo import YahooData, YahooDataBacktesting

__all__ = [
    "AlpacaBacktesting",
    "CcxtBacktesting",
    "CcxtBacktestingData",
    "EnhancedDataSourceBacktesting",
    "PandasDataBacktesting",
    "PolygonDataBacktesting",
    "WindowedData",
    "YahooData",
    "YahooDataBacktesting",
]

_HOME = {
    "AlpacaBacktesting": "alpaca",
    "CcxtBacktesting": "ccxt",
    "CcxtBacktestingData": "ccxt",
    "EnhancedDataSourceBacktesting": "enhanced_data_source",
    "PandasDataBacktesting": "stored",
    "PolygonDataBacktesting": "polygon",
    "WindowedData": "windows.windowed_data",
    "YahooData": "yahoo",
    "YahooDataBacktesting": "yahoo",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
