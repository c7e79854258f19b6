"""What a strategy saw is stored once, and put together again bar by bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.session import session_rows
from lumibot_duckdb.live.session.events import RequestEvent, SeenFrame
from lumibot_duckdb.live.session.session_rows import SessionRows, rebuilt_frames
from lumibot_duckdb.results.live_records import LIVE_TABLES

# A bar is its minute and its value: few of both, so that bars repeat, change and vanish.
FRAMES = st.dictionaries(st.integers(0, 12), st.sampled_from([1.0, 2.0, np.nan, -0.0]), max_size=8)
REQUESTS = st.lists(st.tuples(st.sampled_from(["A", "B"]), st.sampled_from([5, 8]), st.none() | FRAMES), max_size=12)


def frame(bars: dict[int, float]) -> SeenFrame:
    times = np.array(sorted(bars), np.int64) * 60_000_000
    return SeenFrame(times, np.array([[bars[minute]] * 5 for minute in sorted(bars)], float).reshape(-1, 5))


def events(requests: Sequence[tuple[str, int, dict[int, float] | None]]) -> list[RequestEvent]:
    return [
        RequestEvent(number, "history", asset, "minute", length, "", None if bars is None else frame(bars))
        for number, (asset, length, bars) in enumerate(requests)
    ]


def stored(parts: Sequence[dict[str, pa.Table]]) -> tuple[pa.Table, pa.Table]:
    requests, bars = (
        pa.concat_tables([LIVE_TABLES[name].empty_table(), *(part[name] for part in parts if name in part)])
        for name in ("live_requests", "live_bars")
    )
    return requests, bars


def assert_rebuilt(parts: Sequence[dict[str, pa.Table]], made: Sequence[RequestEvent]) -> None:
    rebuilt = list(rebuilt_frames(*stored(parts)))
    assert [row["request"] for row, _ in rebuilt] == list(range(1, len(made) + 1))
    for (row, found), event in zip(rebuilt, made, strict=True):
        assert (row["time"], row["asset"], row["length"]) == (event.time, event.asset, event.length)
        if event.frame is None:
            assert found is None
            continue
        assert found is not None
        np.testing.assert_array_equal(found.times, event.frame.times)
        np.testing.assert_array_equal(found.values, event.frame.values)


@examples(200)
@given(REQUESTS, st.lists(st.integers(1, 5), max_size=12), st.sets(st.integers(0, 12)))
def test_each_request_is_rebuilt(
    requests: list[tuple[str, int, dict[int, float] | None]], sizes: list[int], forgets: set[int]
) -> None:
    made = events(requests)
    rows, parts, start = SessionRows(), [], 0
    for number, size in enumerate([*sizes, len(made)]):
        if number in forgets:
            rows.forget()
        parts.append(rows.tables(made[start : start + size]))
        start += size
    assert_rebuilt(parts, made)


def test_a_bar_is_stored_when_it_is_new_or_changes() -> None:
    windows = [{minute: float(minute) for minute in range(start, start + 60)} for start in range(100)]
    parts = [SessionRows().tables(events([("A", 60, window) for window in windows]))]
    _, bars = stored(parts)
    assert len(bars) == 60 + 99
    changed = [{1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.5}, {1: 1.0, 2: 2.5}]
    _, bars = stored([SessionRows().tables(events([("A", 2, window) for window in changed]))])
    assert bars["close"].to_pylist() == [1.0, 2.0, 2.5]


def test_a_frame_with_lost_rows_is_not_made_up() -> None:
    made = events([("A", 3, {1: 1.0, 2: 2.0}), ("A", 3, {1: 1.0, 2: 2.0, 3: 3.0})])
    requests, bars = stored([SessionRows().tables(made)])
    (_, first), (_, second) = rebuilt_frames(requests, bars.slice(1))
    assert first is None
    assert second is None


def test_the_memory_of_kinds_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_rows, "_MOST_FRAMES", 2)
    made = events([(asset, 5, {1: 1.0}) for asset in "ABCABC"])
    rows = SessionRows()
    parts = [rows.tables(made)]
    assert len(rows._last) == 2
    assert_rebuilt(parts, made)
