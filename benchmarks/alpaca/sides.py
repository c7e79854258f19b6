"""The two Alpaca sources, for a process that reaches no other machine.

The environment says where each finds its bars. Lumibot reads it when it is imported, so this module imports nothing
of Lumibot's at its top.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.sides import new_york

CONFIG = {"API_KEY": "no-key", "API_SECRET": "is-needed", "PAPER": True}
OPPONENT = "Lumibot's AlpacaBacktesting"
_MODULES = {"lumibot": "lumibot.backtesting", "duckdb": "lumibot_duckdb.backtesting"}
_READERS = {"lumibot": "pyarrow.parquet", "duckdb": "lumibot_duckdb.duckdb_storage"}


def source_class(side: str) -> Any:
    """Import what a script of this side imports, and its reader of bars; return its data source class."""
    for module in ("lumibot.strategies", "lumibot.entities", _READERS[side]):
        import_module(module)
    return import_module(_MODULES[side]).AlpacaBacktesting


def make_source(side: str, start: str, end: str, config: dict[str, Any] | None = None, **settings: Any) -> Any:
    """Return a data source of minutes for a backtest over the full window between two days."""
    return source_class(side)(
        datetime_start=new_york(start),
        datetime_end=new_york(end),
        config=dict(config or CONFIG),
        timestep="minute",
        full_window=True,
        show_progress_bar=False,
        **settings,
    )
