"""Small frames and index slices, made from pandas' own blocks in a tenth of the public constructor's time.

pandas takes tens of microseconds to make a small frame out of arrays, several times what the rest of a request costs.
`IS_FAST` says whether the installed pandas makes the same frames this way as through its public constructor, which is
checked once, at import. If not, `frame_from_blocks` must not be called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

Values: TypeAlias = "np.ndarray[Any, Any]"

_INDEX_HAS_FREQUENCY = "_freq" in vars(pd.DatetimeIndex([]))
"""Whether an index has the frequency itself, since pandas 3.1; before, the array in it has."""
_HAS_COLUMN_ARRAYS = hasattr(pd.DataFrame, "_get_column_array")


@dataclass(slots=True)
class Block:
    """Columns of one dtype: `values` has a row for each of `names`, which are columns number `places` of the frame."""

    values: Values
    names: list[str]
    places: list[int]
    kind: Any = None
    """pandas' class of the block, where blocks are known."""
    placement: Any = None
    """pandas' form of `places`, where blocks are known."""

    def __post_init__(self) -> None:
        if HAS_BLOCKS:
            self.placement = _BlockPlacement(np.array(self.places, dtype=np.intp))
            self.kind = type(_new_block_2d(self.values, self.placement))


def frame_from_blocks(
    blocks: Sequence[tuple[Block, Values]], names: pd.Index[str], index: pd.DatetimeIndex
) -> pd.DataFrame:
    """Return the frame made of blocks, each with the values to use instead of `Block.values`. They are not copied."""
    made = tuple([block.kind(values, block.placement, 2) for block, values in blocks])
    axes = [names, index]
    return pd.DataFrame._from_mgr(_BlockManager(made, axes, verify_integrity=False), axes)  # type: ignore[attr-defined,no-any-return]


def column_values(frame: pd.DataFrame, place: int) -> Any:
    """Return the array in which a frame has a column, in a tenth of the time in which pandas makes a series of it.

    It is an array of NumPy, or one of pandas' own for other dtypes. It must not be written to.
    """
    if _HAS_COLUMN_ARRAYS:
        return frame._get_column_array(place)  # type: ignore[operator]
    column = frame.iloc[:, place]
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def columns_in_one_array(frame: pd.DataFrame) -> Any:
    """Return the array of a frame whose columns are the rows of one array; None for other frames.

    It must not be written to.
    """
    blocks: Sequence[Any] = getattr(getattr(frame, "_mgr", None), "blocks", ())
    values = blocks[0].values if len(blocks) == 1 else None
    return values if isinstance(values, np.ndarray) else None


def slice_of_index(index: pd.DatetimeIndex, start: int, stop: int, frequency: Any) -> pd.DatetimeIndex:
    """Return `index[start:stop]` (neither negative) with a frequency that it is known to have, or with none."""
    times = index._data  # type: ignore[attr-defined]
    if _INDEX_HAS_FREQUENCY:
        cut = type(times)._simple_new(times._ndarray[start:stop], dtype=times._dtype)
        made: pd.DatetimeIndex = type(index)._simple_new(cut, name=index.name)  # type: ignore[attr-defined]
        made._freq = frequency  # type: ignore[attr-defined]
        return made
    cut = type(times)._simple_new(times._ndarray[start:stop], freq=frequency, dtype=times._dtype)
    return type(index)._simple_new(cut, name=index.name)  # type: ignore[attr-defined,no-any-return]


def _makes_the_same_frames() -> bool:
    """Whether frames and slices made here equal those that pandas' public functions make."""
    try:
        index = pd.date_range("2024-01-01", periods=3, tz="UTC")
        columns = {"a": np.array([0.5, 1.5, 2.5]), "b": np.array([1, 2, 3]), "c": np.array([3.0, 4.0, 5.0])}
        blocks = [
            Block(np.array([columns["a"], columns["c"]]), ["a", "c"], [0, 2]),
            Block(np.array([columns["b"]]), ["b"], [1]),
        ]
        made = frame_from_blocks([(block, block.values) for block in blocks], pd.Index(list(columns)), index)
        pd.testing.assert_frame_equal(made, pd.DataFrame(columns, index=index))
        made["d"] = made["a"] + made["b"]
        times = pd.date_range("2024-03-08", periods=99, freq="h", tz="America/New_York", name="datetime")
        pd.testing.assert_index_equal(slice_of_index(times, 3, 90, times.freq), times[3:90], exact=True)
        return (
            list(made.columns) == ["a", "b", "c", "d"]
            and made.iloc[1:].shape == (2, 4)
            and slice_of_index(times, 3, 90, times.freq).freq == times.freq
            and slice_of_index(times, 3, 90, None).freq is None
        )
    except Exception:  # any difference in another pandas: its public constructor is used then
        return False


try:
    from pandas._libs.internals import BlockPlacement as _BlockPlacement
    from pandas.core.internals.blocks import new_block_2d as _new_block_2d
    from pandas.core.internals.managers import BlockManager as _BlockManager
except ImportError:
    HAS_BLOCKS = IS_FAST = False
else:
    HAS_BLOCKS = True
    IS_FAST = _makes_the_same_frames()
