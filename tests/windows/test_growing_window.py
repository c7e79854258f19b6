"""The growing window against a plain list of numbers: the same rows, and none of them loaded twice without need."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from lumibot_duckdb.windows.growing_window import GrowingWindow
from lumibot_duckdb.windows.window import MemoryBudget
from windows.test_window import Numbers, Recorder, joined, rows

SIZE = 300


def window(recorder: Recorder, ahead: int = 0, budget: MemoryBudget | None = None) -> GrowingWindow[Numbers]:
    def reach(start: int, stop: int) -> int:
        return min(SIZE, stop + ahead)

    return GrowingWindow(SIZE, recorder.load, joined, reach, budget or MemoryBudget(), 8)


requests = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 60)), min_size=1, max_size=30)


@given(requests, st.integers(0, 50), st.sampled_from([1, 500, 10**9]))
def test_it_always_gives_the_rows_that_are_requested(
    asked: Sequence[tuple[int, int]], ahead: int, max_bytes: int
) -> None:
    growing = window(Recorder(), ahead, MemoryBudget(max_bytes))
    for start, length in asked:
        stop = min(SIZE, start + length)
        assert rows(growing, start, stop) == list(range(start, stop))


def test_a_long_look_back_is_loaded_once() -> None:
    recorder = Recorder()
    growing = window(recorder)
    for row in range(25, SIZE):
        growing.cover(row - 25, row)
        growing.cover(row - 5, row)
    assert recorder.loads == [(0, 25), *((row, row + 1) for row in range(25, SIZE - 1))]
    assert growing.nbytes == 25 * 8, "rows that no request needs any more are dropped"


def test_rows_that_are_cheap_now_are_loaded_too() -> None:
    recorder = Recorder()
    growing = window(recorder, ahead=50)
    for row in range(25, SIZE):
        growing.cover(row - 25, row)
    assert len(recorder.loads) == 6
    assert sum(stop - start for start, stop in recorder.loads) == SIZE


def test_a_longer_request_loads_what_lies_before() -> None:
    recorder = Recorder()
    growing = window(recorder)
    growing.cover(100, 110)
    growing.cover(80, 112)
    assert recorder.loads == [(100, 110), (80, 100), (110, 112)]


def test_a_jump_forgets_how_far_requests_looked_back() -> None:
    recorder = Recorder()
    growing = window(recorder)
    growing.cover(0, 60)
    growing.cover(200, 203)
    growing.cover(203, 206)
    assert recorder.loads[1:] == [(200, 203), (203, 206)]
    assert growing.nbytes == 3 * 8


def test_loads_count_the_rows_that_were_loaded() -> None:
    budget = MemoryBudget()
    growing = window(Recorder(), budget=budget)
    growing.cover(100, 110)
    growing.cover(105, 115)
    assert (budget.statistics.loads, budget.statistics.rows_loaded) == (2, 15)
