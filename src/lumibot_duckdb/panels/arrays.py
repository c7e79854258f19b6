"""Turns the rows of a panel into dense arrays of NumPy or PyTorch, of the shape (time, asset, feature)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.panels.features import Features
from lumibot_duckdb.panels.rows import NEVER, AssetRows, row_keys
from lumibot_duckdb.panels.tables import UNIT
from lumibot_duckdb.panels.targets import Target
from lumibot_duckdb.storage.bars.output import time_index
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import Int64Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PanelArrays:
    """A panel as dense arrays, NaN where an asset has no bar or a value is missing.

    Attributes:
        values: The features, as an array or tensor of the shape (time, asset, feature).
        target_values: The targets, of the shape (time, asset, target).
        known_at: When each target is known, as `numpy.datetime64` in UTC, NaT where it is missing; of the same shape.
        times: The labels of the first axis: bar starts in New York time.
        assets: The labels of the second axis, as in the column `asset_symbol` of long tables.
        features: The labels of the third axis of `values`.
        targets: The labels of the third axis of `target_values`.
    """

    values: Any
    target_values: Any
    known_at: np.ndarray[Any, np.dtype[np.datetime64]]
    times: pd.DatetimeIndex
    assets: tuple[str, ...]
    features: tuple[str, ...]
    targets: tuple[str, ...]


def panel_arrays(
    rows: Iterable[AssetRows], features: Features, targets: Sequence[Target], timeframe: str, dtype: str
) -> PanelArrays:
    """Return a panel as NumPy arrays."""
    blocks = [_Block.of(each, timeframe, dtype) for each in rows]
    times = np.unique(np.concatenate([block.times for block in blocks]))
    shape = len(times), len(blocks)
    values = np.full((*shape, len(features.columns)), np.nan, dtype)
    target_values = np.full((*shape, len(targets)), np.nan, dtype)
    known_at = np.full((*shape, len(targets)), NEVER)
    assets = tuple(block.symbol for block in blocks)
    for place in reversed(range(len(blocks))):
        block = blocks.pop()  # its memory is free then
        at = times.searchsorted(block.times)
        values[at, place] = block.values
        target_values[at, place] = block.target_values
        known_at[at, place] = block.known_at
    return PanelArrays(
        values,
        target_values,
        _datetimes(known_at),
        time_index(times, UNIT),
        assets,
        features.columns,
        tuple(target.name for target in targets),
    )


def as_tensors(arrays: PanelArrays) -> PanelArrays:
    """Return a panel whose values are PyTorch tensors, which share the memory of the arrays."""
    torch = torch_module()
    return replace(arrays, values=torch.from_numpy(arrays.values), target_values=torch.from_numpy(arrays.target_values))


def torch_module() -> Any:
    """Return PyTorch; raise `MissingLibraryError` if it is not installed."""
    try:
        import torch
    except ImportError:
        raise MissingLibraryError("format='torch' needs PyTorch: pip install 'lumibot-duckdb[torch]'") from None
    return torch


@dataclass(frozen=True)
class _Block:
    """The rows of one asset as arrays of the shape (row, column)."""

    symbol: str
    times: Int64Array
    values: np.ndarray[Any, Any]
    target_values: np.ndarray[Any, Any]
    known_at: Int64Array

    @classmethod
    def of(cls, rows: AssetRows, timeframe: str, dtype: str) -> _Block:
        """Return the rows of an asset that can be joined with others."""
        times, counted = row_keys(rows.times, timeframe)
        rows = rows if counted.all() else rows.chosen(counted)
        empty = np.empty((len(times), 0))
        return cls(
            rows.symbol,
            times,
            np.column_stack([column.astype(dtype) for column in rows.features]),
            np.column_stack([empty, *(target.values for target in rows.targets)]).astype(dtype),
            np.column_stack([empty.astype(np.int64), *(target.known_at for target in rows.targets)]),
        )


def _datetimes(seconds: Int64Array) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    ticks = np.where(seconds == NEVER, NEVER, seconds * TICKS_PER_SECOND[UNIT])
    return ticks.view(f"M8[{UNIT}]")
