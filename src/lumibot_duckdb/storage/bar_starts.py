"""When the bars of a frame start."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd

Int64Array: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


def starts_of(frame: pd.DataFrame) -> Int64Array:
    """Return the bar starts (seconds, UTC) of a frame indexed by them; an empty one may have any index."""
    starts: Int64Array = pd.DatetimeIndex(frame.index).as_unit("s").asi8 if len(frame) else np.empty(0, np.int64)
    return starts
