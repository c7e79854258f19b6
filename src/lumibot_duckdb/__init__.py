"""One DuckDB storage layer under every Lumibot backtest. Names load on first use: importing this is light."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.activation.activation import activate, deactivate
    from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse, StockSplit
    from lumibot_duckdb.sources.shared.errors import ProviderError
    from lumibot_duckdb.storage.api import DataStorageInterface
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

__version__ = "0.1.0"

__all__ = [
    "BarProvider",
    "BarRequest",
    "BarResponse",
    "DataStorageInterface",
    "DuckDBDataStorage",
    "ProviderError",
    "StockSplit",
    "__version__",
    "activate",
    "deactivate",
]

_HOME = {
    "activate": "lumibot_duckdb.activation.activation",
    "deactivate": "lumibot_duckdb.activation.activation",
    "BarProvider": "lumibot_duckdb.sources.provider",
    "BarRequest": "lumibot_duckdb.sources.provider",
    "BarResponse": "lumibot_duckdb.sources.provider",
    "ProviderError": "lumibot_duckdb.sources.shared.errors",
    "StockSplit": "lumibot_duckdb.sources.provider",
    "DuckDBDataStorage": "lumibot_duckdb.storage.duckdb_storage",
    "DataStorageInterface": "lumibot_duckdb.storage.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
