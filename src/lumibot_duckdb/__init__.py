"""A DuckDB storage layer for Lumibot backtests. Names are imported when they are first used, so this import is fast."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.activation.activation import activate, deactivate
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
    from lumibot_duckdb.sources.provider import BarProvider, BarRequest, BarResponse, StockSplit
    from lumibot_duckdb.sources.retry_policy import RetryPolicy
    from lumibot_duckdb.sources.shared.errors import ProviderError
    from lumibot_duckdb.storage.api import DataStorageInterface

__version__ = "0.1.0"

__all__ = [
    "BarProvider",
    "BarRequest",
    "BarResponse",
    "DataStorageInterface",
    "DuckDBDataStorage",
    "ProviderError",
    "RetryPolicy",
    "StockSplit",
    "__version__",
    "activate",
    "deactivate",
]

_MODULE_OF = {
    "activate": "lumibot_duckdb.activation.activation",
    "deactivate": "lumibot_duckdb.activation.activation",
    "BarProvider": "lumibot_duckdb.sources.provider",
    "BarRequest": "lumibot_duckdb.sources.provider",
    "BarResponse": "lumibot_duckdb.sources.provider",
    "ProviderError": "lumibot_duckdb.sources.shared.errors",
    "RetryPolicy": "lumibot_duckdb.sources.retry_policy",
    "StockSplit": "lumibot_duckdb.sources.provider",
    "DuckDBDataStorage": "lumibot_duckdb.duckdb_storage",
    "DataStorageInterface": "lumibot_duckdb.storage.api",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
