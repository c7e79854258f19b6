"""The few writes of a batch do what all that came would have done, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from live.recording.live_items import OPENING, frame_of, key_of, live, moment, within
from lumibot_duckdb.live.live_bars import LiveBars
from lumibot_duckdb.live.recording.merging import merged_writes
from lumibot_duckdb.storage.api import BatchWrite, TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError

Minutes = dict[int, dict[str, Any]]


@dataclass
class Model:
    """A series: its rows by minute, and which minutes are covered, permanently or provisionally."""

    rows: Minutes = field(default_factory=dict)
    proven: set[int] = field(default_factory=set)
    provisional: set[int] = field(default_factory=set)

    def apply(
        self, bars: pd.DataFrame, covered: Iterable[TimeRange], provisional: Iterable[TimeRange], replace: bool
    ) -> None:
        there = {minute for piece in covered for minute in minutes_of(piece)}
        if replace:
            for minute in there:
                self.rows.pop(minute, None)
        minutes = (pd.DatetimeIndex(bars.index).as_unit("s").asi8 - OPENING) // 60
        for minute, row in zip(minutes.tolist(), bars.to_dict("records"), strict=True):
            self.rows.setdefault(minute, {}).update(row)
        unproven = {minute for piece in provisional for minute in minutes_of(piece)}
        self.proven |= there - unproven
        self.provisional |= unproven


def minutes_of(piece: TimeRange) -> range:
    return range((piece.start - OPENING) // 60, (piece.end - OPENING) // 60)


def one_by_one(items: Iterable[LiveBars]) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for item in items:
        unproven = () if len(item.bars) or item.replace else item.covered
        model = models.setdefault(item.key.asset.symbol, Model())
        model.apply(item.bars, item.covered, unproven, item.replace)
    return models


def in_rounds(rounds: Iterable[Iterable[BatchWrite]]) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for writes in rounds:
        for write in writes:
            model = models.setdefault(write.key.asset.symbol, Model())
            model.apply(pd.DataFrame(write.bars), write.covered, write.provisional, write.replace)
    return models


@st.composite
def item_strategy(draw: st.DrawFn) -> LiveBars:
    first, length = draw(st.integers(0, 12)), draw(st.integers(0, 6))
    gap = draw(st.integers(0, 3))
    ranges = [within(first, first + length)]
    if draw(st.booleans()):
        ranges.append(within(first + length + gap, first + length + gap + 2))
    possible = sorted({minute for piece in ranges for minute in minutes_of(piece)})
    minutes = [minute for minute in possible if draw(st.integers(0, 3))]
    columns: dict[str, Any] = draw(st.sampled_from([{}, {}, {"volume": 1.5}, {"note": "x"}, {"vwap": 2.5}]))
    frame = frame_of(minutes, draw(st.integers(0, 5)), **columns)
    metadata = draw(st.sampled_from([{}, {}, {"feed": "sip"}]))
    symbol = draw(st.sampled_from("XY"))
    asked_at = moment(draw(st.integers(100, 105)))
    return LiveBars(key_of(symbol), frame, tuple(ranges), asked_at, metadata, replace=draw(st.integers(0, 3)) == 0)


@examples(60)
@given(st.lists(item_strategy(), max_size=8))
def test_few_writes_do_what_all_would_have_done(items: list[LiveBars]) -> None:
    frames = [item.bars.copy() for item in items]
    rounds = merged_writes(items)
    for writes in rounds:
        keys = [each.key for each in writes]
        assert len(set(keys)) == len(keys)
        for each in writes:
            assert not each.write.replace or len(each.write.covered) == 1
            assert pd.DataFrame(each.write.bars).index.is_unique
            alike = [item for item in items if item.key == each.key]
            assert each.write.asked_at in [item.asked_at for item in alike]
            assert each.write.closed_at in [item.asked_at for item in alike]
    expected, found = one_by_one(items), in_rounds([each.write for each in writes] for writes in rounds)
    for symbol, model in expected.items():
        there = found.get(symbol, Model())
        assert there.rows == model.rows
        assert there.proven == model.proven
        assert there.proven | there.provisional == model.proven | model.provisional
    assert sum(each.bars for writes in rounds for each in writes) == sum(len(item.bars) for item in items)
    for item, frame in zip(items, frames, strict=True):
        pd.testing.assert_frame_equal(item.bars, frame)


def test_what_comes_minute_by_minute_is_one_write_per_series() -> None:
    items = [live(minute, minute + 1, symbol) for minute in range(30) for symbol in "XY"]
    ((x, y),) = merged_writes(items)
    for each in (x, y):
        assert each.write.covered == (within(0, 30),)
        assert (each.write.asked_at, each.write.closed_at) == (moment(1), moment(30))
        pd.testing.assert_frame_equal(pd.DataFrame(each.write.bars), frame_of(range(30)), check_freq=False)


def test_corrections_of_adjacent_minutes_are_one_write() -> None:
    items = [live(minute, minute + 1, seed=1, replace=True) for minute in range(5)]
    assert len(merged_writes(items)) == 1
    apart = [live(minute, minute + 1, seed=1, replace=True) for minute in (0, 2)]
    assert [len(writes) for writes in merged_writes(apart)] == [1, 1]


def test_integers_do_not_become_floats_since_others_are() -> None:
    whole, broken = live(0, 5), LiveBars(key_of(), frame_of(range(5, 9), volume=1.5), (within(5, 9),), moment(9))
    (first,), (second,) = merged_writes([whole, broken])
    assert str(pd.DataFrame(first.write.bars)["volume"].dtype) == "int64"
    assert str(pd.DataFrame(second.write.bars)["volume"].dtype) == "float64"


def test_a_correction_outside_of_what_it_replaces_is_refused() -> None:
    item = LiveBars(key_of(), frame_of([3, 9]), (within(0, 5),), moment(10), replace=True)
    with pytest.raises(InvalidBarsError, match="X stock, minute bars from my_feed: a correction has bars outside"):
        merged_writes([item])
