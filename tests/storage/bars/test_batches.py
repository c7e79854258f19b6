"""Batches have all series once, in order, and are neither too long nor too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.storage.bars.batches import MOST_SERIES, in_batches


@given(st.lists(st.sampled_from([0, 1, 20, 2_000, 60_000, 100_000, 300_000]), max_size=600))
@examples(100)
def test_batches(bars: list[int]) -> None:
    batches = list(in_batches(list(enumerate(bars)), lambda each: each[1]))
    assert [each for batch in batches for each in batch] == list(enumerate(bars))
    for number, batch in enumerate(batches):
        assert 1 <= len(batch) <= MOST_SERIES
        size = sum(each for _, each in batch)
        assert len(batch) == 1 or size <= 100_000
        if number + 1 < len(batches):
            assert len(batch) == MOST_SERIES or size + batches[number + 1][0][1] > 100_000
