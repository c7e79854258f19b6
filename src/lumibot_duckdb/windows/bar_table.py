"""Columns of bars on one time index, from which frames of consecutive rows are cut in a few microseconds.

pandas takes tens of microseconds to make a small frame out of arrays, several times what the rest of a request costs.
Where pandas' block manager is as this module knows it (checked once, at import), frames are put together from blocks
directly; elsewhere through the public constructor, to the same result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

Values: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(slots=True)
class _Block:
    """Columns of one dtype: `values` has a row for each. `kind` and `placement` are pandas' own, where known."""

    values: Values
    names: list[str]
    kind: Any = None
    placement: Any = None


class BarTable:
    """Equally long columns on a time index. Frames cut from it are copies: what is done to them stays with them."""

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
        """Take over a frame; dtypes that NumPy lacks (times with a zone, ...) are kept."""
        table = cls({str(name): frame[name].to_numpy() for name in frame.columns}, frame.index)  # type: ignore[arg-type]
        if not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in frame.dtypes):
            table._odd = frame
        return table

    def __len__(self) -> int:
        return len(self.index)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns (objects: of the references to them, and a guess at what they refer to)."""
        return sum(block.values.nbytes * (8 if block.values.dtype.kind == "O" else 1) for block in self._blocks)

    def frame(self, start: int, stop: int) -> pd.DataFrame:
        """Return rows `[start, stop)`."""
        if self._odd is not None:
            frame: pd.DataFrame = self._odd.iloc[start:stop].copy()
            return frame
        cut = [(block, block.values[:, start:stop].copy()) for block in self._blocks]
        return _frame_from_blocks(cut, self.names, slice_index(self.index, start, stop))

    def lists(self, start: int, stop: int) -> dict[str, list[Any]]:
        """Return rows `[start, stop)` as Python values by column; for a few rows that is the fastest to work with."""
        values: dict[str, list[Any]] = {}
        for block in self._blocks:
            values.update(zip(block.names, block.values[:, start:stop].tolist(), strict=True))
        return values

    def patched(
        self, start: int, stop: int, index: pd.DatetimeIndex, patches: Mapping[int, Mapping[str, Any]]
    ) -> pd.DataFrame:
        """Return rows `[start, stop)` under another index, with bars replaced: by row of the result, by column."""
        if self._odd is not None:
            columns = {name: values[start:stop].copy() for name, values in self.columns.items()}
            for row, bar in patches.items():
                for name, value in bar.items():
                    columns[name][row] = value
            mended: pd.DataFrame = pd.DataFrame(columns, index=index, columns=self.names, copy=False)
            return mended
        cut = [(block, block.values[:, start:stop].copy()) for block in self._blocks]
        for row, bar in patches.items():
            for block, values in cut:
                for position, name in enumerate(block.names):
                    if name in bar:
                        values[position, row] = bar[name]
        return _frame_from_blocks(cut, self.names, index)


def _blocks_of(columns: Mapping[str, Values], rows: int) -> list[_Block]:
    """Gather columns of the same dtype, as pandas does."""
    gathered: dict[np.dtype[Any], list[tuple[int, str]]] = {}
    for place, (name, values) in enumerate(columns.items()):
        gathered.setdefault(values.dtype, []).append((place, name))
    blocks = []
    for dtype, members in gathered.items():
        block = _Block(np.empty((len(members), rows), dtype=dtype), [name for _, name in members])
        for row, name in enumerate(block.names):
            block.values[row] = columns[name]
        if _HAS_BLOCKS:
            block.placement = _Placement(np.array([place for place, _ in members], dtype=np.intp))
            block.kind = type(_new_block(block.values, block.placement))
        blocks.append(block)
    return blocks


def slice_index(index: pd.DatetimeIndex, start: int, stop: int) -> pd.DatetimeIndex:
    """Return `index[start:stop]` (neither negative), its frequency kept, in a third of the time."""
    return _slice_index(index, start, stop, index.freq) if _FROM_BLOCKS else index[start:stop]


def slice_with_frequency(index: pd.DatetimeIndex, start: int, stop: int, frequency: Any) -> pd.DatetimeIndex:
    """Return `index[start:stop]` (neither negative) with a frequency that it is known to have, or with none."""
    if _FROM_BLOCKS:
        return _slice_index(index, start, stop, frequency)
    cut: pd.DatetimeIndex = pd.DatetimeIndex(index[start:stop], freq=frequency)
    return cut


def _slice_index(index: pd.DatetimeIndex, start: int, stop: int, frequency: Any) -> pd.DatetimeIndex:
    times = index._data  # type: ignore[attr-defined]
    cut = type(times)._simple_new(times._ndarray[start:stop], freq=frequency, dtype=times._dtype)
    return type(index)._simple_new(cut, name=index.name)  # type: ignore[attr-defined,no-any-return]


def _frame_from_blocks(cut: list[tuple[_Block, Values]], names: pd.Index[str], index: pd.DatetimeIndex) -> pd.DataFrame:
    blocks = tuple([block.kind(values, block.placement, 2) for block, values in cut])
    axes = [names, index]
    return pd.DataFrame._from_mgr(_BlockManager(blocks, axes, verify_integrity=False), axes)  # type: ignore[attr-defined,no-any-return]


def _blocks_are_known() -> bool:
    """Whether a frame made of blocks is what the public constructor makes."""
    try:
        index = pd.date_range("2024-01-01", periods=3, tz="UTC")
        columns = {"a": np.array([0.5, 1.5, 2.5]), "b": np.array([1, 2, 3]), "c": np.array([3.0, 4.0, 5.0])}
        cut = [(block, block.values) for block in _blocks_of(columns, len(index))]
        made = _frame_from_blocks(cut, pd.Index(list(columns)), index)
        pd.testing.assert_frame_equal(made, pd.DataFrame(columns, index=index))
        made["d"] = made["a"] + made["b"]
        times = pd.date_range("2024-03-08", periods=99, freq="h", tz="America/New_York", name="datetime")
        pd.testing.assert_index_equal(_slice_index(times, 3, 90, times.freq), times[3:90], exact=True)
        return (
            list(made.columns) == ["a", "b", "c", "d"]
            and made.iloc[1:].shape == (2, 4)
            and _slice_index(times, 3, 90, times.freq).freq == times.freq
            and _slice_index(times, 3, 90, None).freq is None
        )
    except Exception:  # whatever differs in another pandas, the public constructor serves
        return False


try:
    from pandas._libs.internals import BlockPlacement as _Placement
    from pandas.core.internals.blocks import new_block_2d as _new_block
    from pandas.core.internals.managers import BlockManager as _BlockManager
except ImportError:
    _HAS_BLOCKS = _FROM_BLOCKS = False
else:
    _HAS_BLOCKS = True
    _FROM_BLOCKS = _blocks_are_known()
