"""The sliding window and the memory budget, against a plain list of numbers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumibot_duckdb.windows.window import FIRST_READ_AHEAD, LARGEST_READ_AHEAD, NEAR, MemoryBudget, SlidingWindow

SIZE = 200_000


@dataclass
class Numbers:
    values: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


class Recorder:
    """Loads the numbers `[start, stop)` and records the requests."""

    def __init__(self) -> None:
        self.loads: list[tuple[int, int]] = []

    def load(self, start: int, stop: int) -> Numbers:
        self.loads.append((start, stop))
        return Numbers(np.arange(start, stop))


def joined(pieces: Sequence[Numbers], start: int, stop: int) -> Numbers:
    """Return the numbers `[start, stop)` of pieces that end with the last of them."""
    return Numbers(np.concatenate([piece.values for piece in pieces])[start - stop :])


def window(budget: MemoryBudget, size: int = SIZE, *, joins: bool = False) -> tuple[SlidingWindow[Numbers], Recorder]:
    recorder = Recorder()
    return SlidingWindow(size, recorder.load, budget, 8, join=joined if joins else None), recorder


def rows(window: SlidingWindow[Numbers], start: int, stop: int) -> list[int]:
    first, loaded = window.cover(start, stop)
    return loaded.values[start - first : stop - first].tolist()


requests = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 3_000)), min_size=1, max_size=30)


@given(requests, st.sampled_from([1, 10_000, 1_000_000, 10**9]), st.booleans())
def test_it_always_gives_the_rows_that_are_requested(asked: list[tuple[int, int]], max_bytes: int, joins: bool) -> None:
    sliding, _ = window(MemoryBudget(max_bytes), joins=joins)
    for start, length in asked:
        stop = min(SIZE, start + length)
        assert rows(sliding, start, stop) == list(range(start, stop))


def test_walking_forward_takes_few_and_growing_loads() -> None:
    sliding, recorder = window(MemoryBudget(10**9))
    for row in range(60, SIZE):
        sliding.cover(row - 60, row)
    lengths = [stop - start for start, stop in recorder.loads]
    assert len(lengths) < 15
    assert lengths[:-1] == sorted(lengths[:-1])
    assert max(lengths) <= LARGEST_READ_AHEAD + FIRST_READ_AHEAD


@pytest.mark.parametrize("joins", [False, True])
def test_nights_that_are_stepped_over_interrupt_no_growth(joins: bool) -> None:
    """Requests are for the last hour and the last five hours, from open to close, of days with early and late bars."""
    sliding, recorder = window(MemoryBudget(10**9), joins=joins)
    days = range(330, SIZE - 960, 960)
    for opening in days:
        for row in range(opening, opening + 390, 10):
            sliding.cover(max(0, row - 60), row)
            sliding.cover(max(0, row - 300), row)
    assert len(recorder.loads) < len(days) / 8
    assert sum(stop - start for start, stop in recorder.loads) < 1.2 * SIZE + LARGEST_READ_AHEAD


def test_a_jump_starts_over_with_a_small_stretch() -> None:
    sliding, recorder = window(MemoryBudget(10**9))
    for row in range(60, 20_000):
        sliding.cover(row - 60, row)
    sliding.cover(150_000, 150_060)
    start, stop = recorder.loads[-1]
    assert stop - start <= FIRST_READ_AHEAD + 60


def test_two_places_in_turn_do_not_reload_each_time() -> None:
    sliding, recorder = window(MemoryBudget(10**9))
    for row in range(1_000, 11_000):
        sliding.cover(row, row + 1)
        sliding.cover(row - 900, row - 895)
    assert len(recorder.loads) < 40


def test_rows_that_can_be_joined_are_loaded_once() -> None:
    sliding, recorder = window(MemoryBudget(10**9), joins=True)
    for row in range(900, SIZE // 2):
        sliding.cover(row, row + 1)
        sliding.cover(row - 900, row - 895)
    loaded = sum(stop - start for start, stop in recorder.loads)
    assert loaded == max(stop for _, stop in recorder.loads)
    assert rows(sliding, SIZE // 2 - 900, SIZE // 2) == list(range(SIZE // 2 - 900, SIZE // 2))


def test_a_second_reader_uses_and_moves_the_window_only_nearby() -> None:
    sliding, recorder = window(MemoryBudget(10**9))
    assert sliding.stop == 0
    assert sliding.cover_near(100_000, 100_000 + NEAR + 1) is None, "too many rows to load"
    assert recorder.loads == []
    sliding.cover(100_000, 100_060)
    (held,) = recorder.loads
    assert sliding.stop == held[1]
    assert sliding.cover_near(100_000 - NEAR - 1, 100_000 - NEAR) is None, "too far back"
    for start, stop in (held, (99_000, 99_010), (held[1] + 5, held[1] + 8)):
        near = sliding.cover_near(start, stop)
        assert near is not None
        assert near[1].values[start - near[0] : stop - near[0]].tolist() == list(range(start, stop))


def test_rows_made_of_many_bars_are_read_ahead_in_fewer() -> None:
    recorder = Recorder()
    sliding = SlidingWindow(SIZE, recorder.load, MemoryBudget(10**9), 8, weight=960)
    sliding.cover(100, 114)
    start, stop = recorder.loads[-1]
    assert stop - start <= 14 + FIRST_READ_AHEAD // 100


def test_looks_and_loads_are_counted() -> None:
    budget = MemoryBudget(10**9)
    (first, one), (second, other) = window(budget), window(budget)
    for row in range(60, 10_000, 30):
        first.cover(row - 60, row)
        second.cover(row - 60, row)
    loads = one.loads + other.loads
    assert budget.statistics.lookups == 2 * len(range(60, 10_000, 30))
    assert budget.statistics.loads == len(loads)
    assert budget.statistics.rows_loaded == sum(stop - start for start, stop in loads)
    assert budget.statistics.evictions == 0


def test_windows_together_stay_within_the_budget() -> None:
    budget = MemoryBudget(2_000_000)
    windows = [window(budget)[0] for _ in range(50)]
    for row in range(60, 30_000, 30):
        for sliding in windows:
            sliding.cover(row - 60, row)
        assert budget.bytes_held() <= budget.max_bytes
    assert budget.statistics.evictions == 0, "a fair share each needs no eviction"


def test_the_longest_unused_window_goes_first() -> None:
    budget = MemoryBudget(100_000)
    first, _ = window(budget)
    second, _ = window(budget)
    third, _ = window(budget)
    first.cover(0, 5_000)
    second.cover(0, 5_000)
    third.cover(0, 1)
    first.cover(0, 1)
    third.cover(50_000, 55_000)
    assert second.nbytes == 0
    assert first.nbytes > 0
    assert third.nbytes > 0


def test_what_outgrows_the_budget_is_given_but_not_kept() -> None:
    budget = MemoryBudget(10_000)
    sliding, _ = window(budget)
    assert rows(sliding, 0, 100_000) == list(range(100_000))
    assert sliding.nbytes == 0


def test_a_window_that_is_gone_no_longer_counts() -> None:
    budget = MemoryBudget(10**9)
    sliding, _ = window(budget)
    sliding.cover(0, 1_000)
    assert budget.bytes_held() > 0
    del sliding
    assert budget.bytes_held() == 0


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_a_budget_must_be_positive(max_bytes: int) -> None:
    with pytest.raises(ValueError, match="max_memory must be a positive number of bytes"):
        MemoryBudget(max_bytes)


def test_threads_each_get_their_rows() -> None:
    budget = MemoryBudget(200_000)
    sliding, _ = window(budget)
    other, _ = window(budget)
    wrong: list[object] = []

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(300):
            start = int(rng.integers(0, SIZE - 500))
            for asked in (sliding, other):
                got = rows(asked, start, start + 400)
                if got != list(range(start, start + 400)):
                    wrong.append((start, got))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_held_is_counted_again_only_when_it_may_be_too_much() -> None:
    budget = MemoryBudget(100 * 8 * (FIRST_READ_AHEAD + 60))
    sliding = [window(budget)[0] for _ in range(50)]
    counted = 0
    held = budget.bytes_held

    def counting() -> int:
        nonlocal counted
        counted += 1
        return held()

    budget.bytes_held = counting  # type: ignore[method-assign]
    for place in range(0, 50_000, 5_000):
        for one in sliding:
            one.cover(place, place + 60)
    assert counted < 20
    assert held() <= budget.max_bytes


def test_a_walk_forward_keeps_no_rows_behind_it() -> None:
    sliding, recorder = window(MemoryBudget(10**9))
    for start, stop in ((0, 60), (1_000, 1_100), (3_140, 3_150)):  # each reaches beyond the window before
        rows(sliding, start, stop)
    assert [start for start, _ in recorder.loads] == [0, 1_000, 3_140]
