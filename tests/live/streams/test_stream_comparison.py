"""Comparing streamed bars with REST, and holding corrections, against plain models."""

from __future__ import annotations

from datetime import datetime, timezone

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.streams.held_corrections import HeldCorrections
from lumibot_duckdb.live.streams.stream_comparison import Comparison, compare, with_corrections
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange

KEY = SeriesKey(AssetKey("SPY"), "alpaca_live", "minute")
NOW = datetime(2024, 7, 3, 20, tzinfo=timezone.utc)
START = int(datetime(2024, 7, 3, 14, tzinfo=timezone.utc).timestamp())
BARS = st.dictionaries(st.integers(0, 9), st.sampled_from([1.0, 2.0, float("nan")]), max_size=8)
RANGES = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 10)).filter(lambda r: r[0] < r[1]), min_size=1, max_size=3
)


def frame(bars: dict[int, float]) -> pd.DataFrame:
    index = pd.to_datetime([START + 60 * minute for minute in sorted(bars)], unit="s", utc=True)
    closes = [bars[minute] for minute in sorted(bars)]
    return pd.DataFrame({"close": closes, "volume": 5.0}, index=index)


def live(bars: dict[int, float], ranges: list[tuple[int, int]], *, replace: bool = False) -> LiveBars:
    covered = tuple(TimeRange(START + 60 * first, START + 60 * stop) for first, stop in ranges)
    return LiveBars(KEY, frame(bars), covered, NOW, replace=replace)


@given(streamed=BARS, answered=BARS, ranges=RANGES)
@examples(200)
def test_counts_are_those_of_a_plain_model(
    streamed: dict[int, float], answered: dict[int, float], ranges: list[tuple[int, int]]
) -> None:
    within = {minute for first, stop in ranges for minute in range(first, stop)}
    ours = {minute: str(close) for minute, close in streamed.items() if minute in within}
    theirs = {minute: str(close) for minute, close in answered.items() if minute in within}
    found = compare(frame(streamed), live({m: c for m, c in answered.items() if m in within}, ranges))
    assert found.compared == len(ours.keys() | theirs.keys())
    assert found.changed == sum(ours[minute] != theirs[minute] for minute in ours.keys() & theirs.keys())
    assert found.missing == len(theirs.keys() - ours.keys())
    assert found.extra == len(ours.keys() - theirs.keys())
    assert len(found.examples) == min(5, found.differing)


def test_examples_and_sums() -> None:
    found = compare(frame({0: 1.0, 1: 1.0}), live({0: 2.0, 2: 1.0}, [(0, 5)]))
    assert str(found) == (
        "3 of 3 bars differed (1 had other values, 1 were not sent, 1 were sent only): SPY stock 2024-07-03 10:00 "
        "close 1 instead of 2; SPY stock 2024-07-03 10:02 was not sent; SPY stock 2024-07-03 10:01 was sent only"
    )
    total = found + Comparison(compared=4) + found
    assert (total.compared, total.differing, len(total.examples)) == (10, 6, 5)


def test_an_example_names_the_first_value_of_each_bar() -> None:
    minutes = dict.fromkeys(range(6), 1.0)
    found = compare(frame(minutes).assign(volume=7.0), live(dict.fromkeys(minutes, 2.0), [(0, 6)]))
    assert [each.rsplit("10:")[1] for each in found.examples] == [f"0{at} close 1 instead of 2" for at in range(5)]


def test_corrections_count_as_sent() -> None:
    corrected = with_corrections(frame({0: 1.0, 1: 1.0}), [live({0: 3.0}, [(0, 1)]), live({0: 2.0}, [(0, 1)])])
    assert compare(corrected, live({0: 2.0, 1: 1.0}, [(0, 2)])).differing == 0


@given(sent=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1.0, 2.0, 3.0]))), until=st.integers(0, 5))
@examples(100)
def test_what_is_sent_again_is_held(sent: list[tuple[int, float]], until: int) -> None:
    held, first, last = HeldCorrections(), {}, {}
    for minute, close in sent:
        repeated = held.hold(live({minute: close}, [(minute, minute + 1)]))
        assert repeated == (minute in first)
        (last if repeated else first)[minute] = close
    held.forget_before(START + 60 * until)
    taken = held.take()
    assert {int(each.bars.index[0].timestamp() - START) // 60: each.bars["close"].iloc[0] for each in taken} == {
        minute: close for minute, close in last.items() if minute >= until
    }
    assert all(each.replace for each in taken)
    assert held.take() == []
