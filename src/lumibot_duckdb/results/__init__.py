"""The results of backtests as tables of a DuckDB file.

Depends on the storage, not on Lumibot, nor on the processes of sweeps. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.results.database import ResultsDatabase, StoredSweep
    from lumibot_duckdb.results.errors import (
        NotResultsError,
        ResultsNotFoundError,
        SessionNotFoundError,
        SweepExistsError,
        SweepNotFoundError,
        TrialNotFoundError,
    )
    from lumibot_duckdb.results.live_records import LiveSessionRecord, StoredSession
    from lumibot_duckdb.results.live_sessions import LiveSessions
    from lumibot_duckdb.results.records import SweepRecord, TrialRecord

_MODULE_OF = {
    "LiveSessionRecord": "live_records",
    "LiveSessions": "live_sessions",
    "NotResultsError": "errors",
    "ResultsDatabase": "database",
    "ResultsNotFoundError": "errors",
    "SessionNotFoundError": "errors",
    "StoredSession": "live_records",
    "StoredSweep": "database",
    "SweepExistsError": "errors",
    "SweepNotFoundError": "errors",
    "SweepRecord": "records",
    "TrialNotFoundError": "errors",
    "TrialRecord": "records",
}

__all__ = [
    "LiveSessionRecord",
    "LiveSessions",
    "NotResultsError",
    "ResultsDatabase",
    "ResultsNotFoundError",
    "SessionNotFoundError",
    "StoredSession",
    "StoredSweep",
    "SweepExistsError",
    "SweepNotFoundError",
    "SweepRecord",
    "TrialNotFoundError",
    "TrialRecord",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
