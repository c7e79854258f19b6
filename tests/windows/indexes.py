"""Time indexes for tests: around both changes of the clocks, with gaps of every kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

NEW_YORK = "America/New_York"

starts = st.sampled_from(["2024-03-08 21:00", "2024-11-01 20:00", "2024-06-03 00:00", "1965-10-29 12:00"])


@st.composite
def indexes(draw: st.DrawFn) -> pd.DatetimeIndex:
    start = pd.Timestamp(draw(starts), tz=NEW_YORK)
    minutes = np.cumsum(draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 60, 400, 1440]), min_size=1, max_size=120)))
    return pd.DatetimeIndex(start + pd.to_timedelta(minutes, unit="min"), name="datetime")
