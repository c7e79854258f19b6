"""Binary search in a sorted array of whole numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.windows.sorted_search import first_after, first_from

NUMBERS = st.integers(-(2**63) + 1, 2**63 - 2)


@examples(100)
@given(st.lists(NUMBERS, max_size=40), NUMBERS, st.integers(1, 3))
def test_finds_what_numpy_finds(values: list[int], number: int, step: int) -> None:
    array = np.array(sorted(values), np.int64)[::step]
    for wanted in (number, *array.tolist()):
        assert first_from(array, wanted) == array.searchsorted(wanted)
        assert first_after(array, wanted) == array.searchsorted(wanted, side="right")
