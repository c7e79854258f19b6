"""Stores the frames that a script passes, if the user requests it by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from lumibot_duckdb.sources.shared.telemetry import log_line
from lumibot_duckdb.storage.api import DataStorageInterface
from lumibot_duckdb.storage.errors import StorageError
from lumibot_duckdb.storage.identity import canonical_source

if TYPE_CHECKING:
    from lumibot.entities import Data

STORE_FRAMES = "LUMIBOT_DUCKDB_STORE_FRAMES"
"""Environment variable: the source under which the frames of `pandas_data` are stored; they are not if it is unset."""


def source_to_store_under(variable: str = STORE_FRAMES, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the source under which frames are stored; None if they are not.

    Raises:
        ValueError: it is not one short word.
    """
    name = environment.get(variable, "").strip()
    try:
        return canonical_source(name) if name else None
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def store_frames(passed: Iterable[Data], storage: Callable[[], DataStorageInterface]) -> None:
    """Store the bars of each `Data` as it was made, if that is requested. What cannot be stored is logged."""
    source = source_to_store_under()
    if source is None:
        return
    for data in passed:
        try:
            storage().store_ohlcv_data((data.asset, data.quote), data.df, source, data.timestep)
        except StorageError as error:
            log_line(f"DuckDB: the bars of {data.asset} are not stored: {error}")
