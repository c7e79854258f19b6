"""Frames as a broker returns them: their form, stored bars in that form, and whether two have the same bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PRICES = ("open", "high", "low", "close")
_TOLERANCE = 1e-6  # relative; Lumibot's own, for prices that were not adjusted anew


@dataclass(frozen=True)
class FrameForm:
    """The columns of a frame with their dtypes, in order, and the dtype and name of its index."""

    dtypes: tuple[tuple[str, Any], ...]
    index_dtype: Any
    index_name: Any

    @classmethod
    def of(cls, frame: pd.DataFrame) -> FrameForm | None:
        """Return the form of a frame; None if it is not one of bars: sorted tz-aware times, each of them once."""
        index = frame.index
        if not (isinstance(index, pd.DatetimeIndex) and index.tz is not None):
            return None
        if not (index.is_unique and index.is_monotonic_increasing and frame.columns.is_unique):
            return None
        return cls(tuple(zip(frame.columns, frame.dtypes, strict=True)), index.dtype, index.name)

    def applied_to(self, bars: pd.DataFrame) -> pd.DataFrame | None:
        """Return stored bars in this form; None if they have other columns, or values that its dtypes cannot hold."""
        if set(bars.columns) != {name for name, _ in self.dtypes}:
            return None
        columns = {}
        for name, dtype in self.dtypes:
            values = _converted(bars[name], dtype)
            if values is None:
                return None
            columns[name] = values
        index = pd.DatetimeIndex(bars.index).tz_convert(self.index_dtype.tz).as_unit(self.index_dtype.unit)
        in_form: pd.DataFrame = pd.DataFrame(columns, index=index.rename(self.index_name))
        return in_form


def equal_bars(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether two frames of the same form have the same bars; missing values are equal."""
    if not one.index.equals(other.index) or list(one.columns) != list(other.columns):
        return False
    return all(one[name].array.equals(other[name].array) for name in one.columns)


def readjusted(stored: pd.DataFrame, returned: pd.DataFrame) -> bool:
    """Return whether a broker adjusts prices otherwise than when they were stored.

    A split or dividend changes all earlier bars, so every common bar differs; a correction changes one of them.
    """
    common = stored.index.intersection(returned.index)
    names = [name for name in PRICES if name in stored and name in returned]
    if not len(common) or not names:
        return False
    before, after = (frame.loc[common, names].to_numpy(dtype=float) for frame in (stored, returned))
    differs = ~np.isclose(before, after, rtol=_TOLERANCE, atol=0.0, equal_nan=True)
    return bool(differs.any(axis=1).all())


def _converted(values: pd.Series[Any], dtype: Any) -> Any:
    """Return values with another dtype; None if that changes one."""
    if values.dtype == dtype:
        return values.array
    try:
        converted = values.astype(dtype)
        unchanged = converted.astype(values.dtype).array.equals(values.array)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted.array if unchanged else None
