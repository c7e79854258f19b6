"""Decides which storage a source runs on, by the environment, the caller and the rollout.

The first that is set decides: `LUMIBOT_USE_DUCKDB=false`; `use_duckdb=False` of the caller; `LUMIBOT_USE_DUCKDB=true`;
the share of `LUMIBOT_DUCKDB_ROLLOUT`. If none is, a source runs on the store.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

from lumibot_duckdb.sources.shared.environment import flag
from lumibot_duckdb.sources.shared.lifecycle import name_of_strategy
from lumibot_duckdb.sources.shared.telemetry import log_line

USE_DUCKDB = "LUMIBOT_USE_DUCKDB"
"""Environment variable: "false" puts every source on Lumibot's own storage, "true" on the store."""

ROLLOUT = "LUMIBOT_DUCKDB_ROLLOUT"
"""Environment variable: the share of backtests, in percent, that run on the store."""

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def duckdb_wanted(use_duckdb: bool, source: str) -> bool:
    """Return whether a source (the name of its class) runs on the store. A choice of the rollout is logged.

    Raises:
        ValueError: an environment variable has an invalid value.
    """
    forced = flag(USE_DUCKDB)
    if forced is not None or not use_duckdb:
        return use_duckdb and forced is not False
    percent = rollout()
    if percent is None:
        return True
    strategy = name_of_strategy()
    chosen = in_share(strategy, source, percent)
    storage = "DuckDB" if chosen else "Lumibot's own storage"
    log_line(f"DuckDB rollout of {percent:g} %: {strategy} on {source} runs on {storage}")
    return chosen


def rollout(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the share of backtests that run on the store, in percent; None if it is not set.

    Raises:
        ValueError: it is not a number from 0 to 100.
    """
    value = environment.get(ROLLOUT, "").strip()
    if not value:
        return None
    percent = float(value) if _DECIMAL.fullmatch(value) else -1.0
    if not 0.0 <= percent <= 100.0:
        raise ValueError(f"{ROLLOUT} must be a percentage from 0 to 100, not {value!r}")
    return percent


def in_share(strategy: str, source: str, percent: float) -> bool:
    """Return whether a strategy on a source belongs to a share, in percent, of all backtests.

    The answer is the same on every machine, and a strategy in a share is also in all larger ones.
    """
    return place_of(strategy, source) < percent


def place_of(strategy: str, source: str) -> float:
    """Return the smallest share, in percent from 0 to below 100, that a strategy on a source belongs to."""
    digest = hashlib.sha256(f"{strategy}\0{source}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 100
