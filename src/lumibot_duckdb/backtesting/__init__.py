"""The data sources of this package, under the names of Lumibot's. Names are imported when they are first used.

A source that does not fit the installed release of Lumibot is replaced by Lumibot's own class, with one warning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.sources.registry import CLASSES

if TYPE_CHECKING:  # for editors and type checkers, which do not run `__getattr__`
    from lumibot_duckdb.sources.alpaca.source import AlpacaBacktesting as AlpacaBacktesting
    from lumibot_duckdb.sources.ccxt.source import CcxtBacktesting as CcxtBacktesting
    from lumibot_duckdb.sources.ccxt.source import CcxtBacktestingData as CcxtBacktestingData
    from lumibot_duckdb.sources.custom.source import ProviderDataBacktesting as ProviderDataBacktesting
    from lumibot_duckdb.sources.own_bars.source import PandasData as PandasData
    from lumibot_duckdb.sources.own_bars.source import PandasDataBacktesting as PandasDataBacktesting
    from lumibot_duckdb.sources.polygon.source import PolygonDataBacktesting as PolygonDataBacktesting
    from lumibot_duckdb.sources.shared.enhanced_data_source import (
        EnhancedDataSourceBacktesting as EnhancedDataSourceBacktesting,
    )
    from lumibot_duckdb.sources.yahoo.source import YahooData as YahooData
    from lumibot_duckdb.sources.yahoo.source import YahooDataBacktesting as YahooDataBacktesting
    from lumibot_duckdb.windows.windowed_data import WindowedData as WindowedData

_WITHOUT_COUNTERPART = {
    "EnhancedDataSourceBacktesting": "lumibot_duckdb.sources.shared.enhanced_data_source",
    "ProviderDataBacktesting": "lumibot_duckdb.sources.custom.source",
    "WindowedData": "lumibot_duckdb.windows.windowed_data",
}
"""Public classes without a counterpart in Lumibot, with their modules."""

__all__ = sorted([*CLASSES, *_WITHOUT_COUNTERPART])


def __getattr__(name: str) -> Any:
    if name in CLASSES:
        return import_module("lumibot_duckdb.sources.shared.compatibility").class_that_fits(name)
    if name in _WITHOUT_COUNTERPART:
        enforcement = import_module("lumibot_duckdb.lumibot_contract.enforcement")
        return enforcement.load_or_explain(name, lambda: getattr(import_module(_WITHOUT_COUNTERPART[name]), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
