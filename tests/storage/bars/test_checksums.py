"""Checksums: stored ones are those of the bars after any writes, and another value, order or place gives others."""

from __future__ import annotations

import datetime as dt
import tempfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars.checksums import (
    SegmentSums,
    all_checksums,
    computed_checksums,
    sums_of,
    unchecked_to,
)
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import frame_strategy, minute_bars

pytestmark = pytest.mark.older_duckdb

DAYS = 64


def mismatches(storage: DuckDBDataStorage) -> list[tuple[int, int, list[str]]]:
    """Return version, segment and columns of all checksums that are not those of the bars."""
    with StoreConnection.of(storage.path).read() as cursor:
        stored = dict(all_checksums(cursor))
        kinds = dict(
            cursor.rows("SELECT version_id, timeframe FROM {db}.series_version JOIN {db}.series USING (series_id)")
        )
        found = []
        for version, timeframe in kinds.items():
            computed = computed_checksums(cursor, version, timeframe)
            for number in computed.keys() | stored.get(version, {}).keys():
                one = computed.get(number, SegmentSums())
                other = stored.get(version, {}).get(number, SegmentSums())
                if one.bars != other.bars or one.differing(other):
                    found.append((version, number, one.differing(other)))
        assert stored.keys() <= kinds.keys()
    return found


@given(first=frame_strategy(), second=frame_strategy(), replace=st.booleans())
@examples(25)
def test_stored_checksums_are_those_of_the_bars(first: pd.DataFrame, second: pd.DataFrame, replace: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckDBDataStorage(folder)
        write_and_compare(storage, first, second, replace=replace)
        storage.close()


def write_and_compare(storage: DuckDBDataStorage, first: pd.DataFrame, second: pd.DataFrame, *, replace: bool) -> None:
    storage.store_ohlcv_data("X", first, "test", "day")
    for frame in (second, first.iloc[::2]):
        try:
            storage.store_ohlcv_data("X", frame, "test", "day", replace=replace)
        except ValueError:  # columns that cannot be combined
            continue
        assert mismatches(storage) == []
    storage.compact(dt.timedelta(0))
    assert mismatches(storage) == []
    assert storage.verify().sound


VALUES = st.lists(st.floats(allow_nan=False).filter(lambda v: v != 0), min_size=2, max_size=20)


@given(values=VALUES, place=st.integers(0, 19), other=st.integers(0, 19), bit=st.integers(0, 63))
@examples(200)
def test_a_flipped_bit_or_exchanged_values_change_the_sum(
    values: list[float], place: int, other: int, bit: int
) -> None:
    times = np.arange(len(values)) * 60
    before = np.array(values)
    sums = sums_of(times, {"close": pa.array(before)}, DAYS)
    place, other = place % len(values), other % len(values)
    flipped = before.copy()
    flipped.view(np.uint64)[place] ^= np.uint64(1 << bit)
    exchanged = before.copy()
    exchanged[[place, other]] = before[[other, place]]
    for changed in (flipped, exchanged):
        same = bool((changed.view(np.uint64) == before.view(np.uint64)).all()) or bool((changed == before).all())
        assert (sums_of(times, {"close": pa.array(changed)}, DAYS) == sums) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([None, 1.0]), pa.array([0.0, 1.0])),
        (pa.array([None, "a"]), pa.array(["", "a"])),
        (pa.array([None, True]), pa.array([False, True])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array([2**60, 1]), pa.array([2**60 + 1, 1])),
    ],
)
def test_values_that_differ(one: pa.Array, other: pa.Array) -> None:
    times = np.array([0, 60])
    assert sums_of(times, {"x": one}, DAYS) != sums_of(times, {"x": other}, DAYS)


def test_sums_add_up(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=50)
    times = 86_400 + np.arange(50) * 60
    column = pa.array(frame["close"])
    whole = sums_of(times, {"close": column}, DAYS)[0]
    parts = SegmentSums()
    for part in (slice(0, 20), slice(20, 50)):
        found = sums_of(times[part], {"close": column[part.start : part.stop]}, DAYS)[0]
        parts.add(found.bars, found.sums)
    assert parts == whole


def test_these_sums_are_the_same_in_every_release() -> None:
    (found,) = sums_of(np.array([0, 60]), {"close": pa.array([1.5, None]), "note": pa.array(["a", "b"])}, DAYS).values()
    expected = {"ts": 1513358431786210198, "close": 1648597532635430291, "note": 5936415412185898469}
    assert found == SegmentSums(2, expected)


def test_bars_of_older_releases_get_checksums_from_a_compaction(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=300), "test", "minute")
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("DROP TABLE {db}.bar_checksum")
        cursor.execute("UPDATE {db}.store_meta SET value = '6' WHERE key = 'schema_version'")
    older = DuckDBDataStorage(storage.path)
    older.store_ohlcv_data("X", minute_bars("2024-01-05 09:30", rows=20, seed=1), "test", "minute")
    assert older.verify().findings == []
    assert mismatches(older) == []
    with StoreConnection.of(storage.path).read() as cursor:
        assert unchecked_to(cursor) == 1
        assert [sums.bars for _, sums in all_checksums(cursor) for sums in sums.values()] == [20]
    older.store_ohlcv_data("X", minute_bars(rows=10, seed=5), "test", "minute")
    assert mismatches(older) == []
    older.compact()
    with StoreConnection.of(storage.path).read() as cursor:
        assert unchecked_to(cursor) == 0
        assert sorted(sums.bars for _, found in all_checksums(cursor) for sums in found.values()) == [320, 320]
    assert mismatches(older) == []
    assert older.verify().findings == []
