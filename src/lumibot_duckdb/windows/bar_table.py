"""Columns of bars on one time index, from which frames of consecutive rows are cut in a few microseconds.

Frames are made from pandas' blocks (`lumibot_contract.pandas_blocks`) where that gives the same result as the public
constructor, and through the public constructor otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.lumibot_contract.pandas_blocks import IS_FAST, Block, frame_from_blocks, slice_of_index

Values: TypeAlias = "np.ndarray[Any, Any]"

_FROM_BLOCKS = IS_FAST


class BarTable:
    """Equally long columns on a time index. Frames cut from it are copies, so changing one changes nothing else."""

    def __init__(self, columns: Mapping[str, Values], index: pd.DatetimeIndex) -> None:
        names = list(columns)
        self.index = index
        self.names = pd.Index(names)
        self._blocks = _blocks_of(columns, len(index))
        self.columns: dict[str, Values] = dict.fromkeys(names, np.empty(0))
        for block in self._blocks:
            self.columns.update(zip(block.names, block.values, strict=True))
        self._odd: pd.DataFrame | None = None
        if not _FROM_BLOCKS or any(block.values.dtype.kind not in "fiub" for block in self._blocks):
            self._odd = pd.DataFrame(self.columns, index=index, columns=self.names, copy=False)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> BarTable:
        """Make a table of a frame. Dtypes that NumPy lacks (times with a zone, for instance) are kept."""
        table = cls({str(name): frame[name].to_numpy() for name in frame.columns}, frame.index)  # type: ignore[arg-type]
        if not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in frame.dtypes):
            table._odd = frame
        return table

    def __len__(self) -> int:
        return len(self.index)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns and of the index."""
        return self.column_bytes + 8 * len(self.index)

    @property
    def column_bytes(self) -> int:
        """Bytes of the columns; for objects an estimate of eight times their references."""
        return sum(block.values.nbytes * (8 if block.values.dtype.kind == "O" else 1) for block in self._blocks)

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)`."""
        if self._odd is not None:
            frame: pd.DataFrame = self._odd.iloc[start:stop].copy()
            return frame
        cut = [(block, block.values[:, start:stop].copy()) for block in self._blocks]
        return frame_from_blocks(cut, self.names, slice_index(self.index, start, stop))

    def lists(self, start: int, stop: int) -> dict[str, list[Any]]:
        """Return rows `[start, stop)` as Python values by column, which are the fastest to work with for a few rows."""
        values: dict[str, list[Any]] = {}
        for block in self._blocks:
            values.update(zip(block.names, block.values[:, start:stop].tolist(), strict=True))
        return values

    def patched(
        self, start: int, stop: int, index: pd.DatetimeIndex, patches: Mapping[int, Mapping[str, Any]]
    ) -> pd.DataFrame:
        """Return rows `[start, stop)` with another index. `patches` replaces values by row of the result and column."""
        if self._odd is not None:
            columns = {name: values[start:stop].copy() for name, values in self.columns.items()}
            for row, bar in patches.items():
                for name, value in bar.items():
                    columns[name][row] = value
            patched: pd.DataFrame = pd.DataFrame(columns, index=index, columns=self.names, copy=False)
            return patched
        cut = [(block, block.values[:, start:stop].copy()) for block in self._blocks]
        for row, bar in patches.items():
            for block, values in cut:
                for position, name in enumerate(block.names):
                    if name in bar:
                        values[position, row] = bar[name]
        return frame_from_blocks(cut, self.names, index)


def _blocks_of(columns: Mapping[str, Values], rows: int) -> list[Block]:
    """Gather columns of the same dtype, as pandas does."""
    gathered: dict[np.dtype[Any], list[tuple[int, str]]] = {}
    for place, (name, values) in enumerate(columns.items()):
        gathered.setdefault(values.dtype, []).append((place, name))
    blocks = []
    for dtype, members in gathered.items():
        values = np.empty((len(members), rows), dtype=dtype)
        for row, (_, name) in enumerate(members):
            values[row] = columns[name]
        blocks.append(Block(values, [name for _, name in members], [place for place, _ in members]))
    return blocks


def slice_index(index: pd.DatetimeIndex, start: int, stop: int) -> pd.DatetimeIndex:
    """Return `index[start:stop]` (neither negative) with its frequency, in a third of pandas' time."""
    return slice_of_index(index, start, stop, index.freq) if _FROM_BLOCKS else index[start:stop]


def slice_with_frequency(index: pd.DatetimeIndex, start: int, stop: int, frequency: Any) -> pd.DatetimeIndex:
    """Return `index[start:stop]` (neither negative) with a frequency that it is known to have, or with none."""
    if _FROM_BLOCKS:
        return slice_of_index(index, start, stop, frequency)
    cut: pd.DatetimeIndex = pd.DatetimeIndex(index[start:stop], freq=frequency)
    return cut
