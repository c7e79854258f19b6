"""How fragmented a store is: free and unneeded space, and the row groups that a read goes through."""

from __future__ import annotations

import datetime as dt
import random

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import StoreNotFoundError
from lumibot_duckdb.storage.upkeep import fragmentation
from lumibot_duckdb.storage.upkeep.fragmentation import Fragmentation
from storage.frames import minute_bars

AT_ONCE = dt.timedelta(0)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure as if row groups had 400 bars, so that small stores have many."""
    monkeypatch.setattr(fragmentation, "_ROW_GROUP", 400)


def write(storage: DuckDBDataStorage, symbols: int, days: int, order: str) -> None:
    """Write so many days of 100 bars of each symbol, every fourth day, a day at a time."""
    pieces = [(f"S{i}", day) for i in range(symbols) for day in range(days)]
    if order == "by day":
        pieces.sort(key=lambda piece: piece[1])
    elif order == "random":
        random.Random(1).shuffle(pieces)
    for symbol, day in pieces:
        start = pd.Timestamp("2024-01-02 09:30") + pd.Timedelta(days=4 * day)
        storage.store_ohlcv_data(symbol, minute_bars(str(start), rows=100), "test", "minute")


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize(
    ("order", "least", "most"),
    [("by series", 1.0, 3.0), ("by day", 4.0, 6.0), ("random", 8.0, 20.0)],
)
def test_a_read_goes_through_more_row_groups_if_bars_are_scattered(
    storage: DuckDBDataStorage, order: str, least: float, most: float
) -> None:
    write(storage, symbols=4, days=20, order=order)  # 20 row groups; written by day, five of them have 20 days
    found = storage.fragmentation()
    assert found.bars == 8_000
    assert least <= found.row_groups_per_read <= most
    report = storage.compact()
    assert report.before.row_groups_per_read == found.row_groups_per_read
    assert report.after == storage.fragmentation()
    assert 1.0 <= report.after.row_groups_per_read <= 3.0


def test_superseded_bars_are_unneeded_after_their_grace_unless_a_snapshot_needs_them(
    storage: DuckDBDataStorage,
) -> None:
    frame = minute_bars(rows=400)
    storage.store_ohlcv_data("A", frame, "test", "minute")
    storage.snapshot("first")
    storage.store_ohlcv_data("A", frame * 2, "test", "minute")
    storage.store_ohlcv_data("A", frame * 3, "test", "minute")
    assert storage.fragmentation().bars_unneeded == 0
    assert storage.fragmentation(AT_ONCE).bars_unneeded == 400
    storage.delete_snapshot("first")
    assert storage.fragmentation(AT_ONCE).bars_unneeded == 800
    storage.settings.set("versions.keep", "0d")
    assert storage.fragmentation().bars_unneeded == 800


def test_bars_to_gain_are_those_that_a_compaction_removes(storage: DuckDBDataStorage) -> None:
    for symbol in ("A", "B", "C"):
        storage.store_ohlcv_data(symbol, minute_bars(rows=50_000), "test", "minute")
    storage.delete_series("B")
    storage.store_ohlcv_data("C", minute_bars(rows=50_000) * 2, "test", "minute")
    storage.close()
    found = storage.fragmentation(AT_ONCE)
    assert found.bars - found.bars_unneeded == 100_000
    report = storage.compact(AT_ONCE)
    gained = report.bytes_before - report.bytes_after
    assert 0.7 * gained <= found.bytes_to_gain <= 1.4 * gained
    assert found.exceeds(1.5)
    assert not report.after.exceeds(1.1)
    assert (report.after.bars, report.after.bars_unneeded) == (100_000, 0)
    assert report.after.bytes_free <= 2**16


def test_stores_with_few_bars_and_none(storage: DuckDBDataStorage) -> None:
    with pytest.raises(StoreNotFoundError):
        storage.fragmentation()
    storage.settings.set("versions.keep", "2d")  # creates the store
    empty = storage.fragmentation()
    assert (empty.bars, empty.row_groups_per_read, empty.read_factor) == (0, 0.0, 1.0)
    storage.store_ohlcv_data("A", minute_bars(rows=1), "test", "minute")
    one = storage.fragmentation()
    assert (one.bars, one.row_groups_per_read, one.read_factor) == (1, 1.0, 1.0)
    assert storage.delete_series("A") == 1
    assert not storage.compact(AT_ONCE).after.exceeds(1.1)


BARS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60)), min_size=1, max_size=80)


@pytest.mark.older_duckdb
@examples(60)
@given(bars=BARS, deleted=st.sets(st.integers(0, 79)))
def test_row_groups_are_counted_as_in_a_model(bars: list[tuple[int, int]], deleted: set[int]) -> None:
    """Row groups have 16 bars, so that all are in the sample."""
    left = {rowid: bar for rowid, bar in enumerate(bars) if rowid not in deleted or rowid == len(bars) - 1}
    groups = [[bar for rowid, bar in left.items() if rowid // 16 == number] for number in range(5)]
    groups = [group for group in groups if group]
    zones = [(min(v for v, _ in g), max(v for v, _ in g), min(t for _, t in g), max(t for _, t in g)) for g in groups]
    read = [group[len(group) // 2] for group in groups]
    expected = [sum(a <= v <= b and s < t + 20 and e >= t for a, b, s, e in zones) for v, t in read]
    rows = pa.table({"version_id": [v for v, _ in bars], "day": [t for _, t in bars]})
    with duckdb.connect() as duck, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragmentation, "_ROW_GROUP", 16)
        duck.execute("ATTACH ':memory:' AS m")
        cursor = StoreCursor("m", duck)
        cursor.register("incoming", rows)
        cursor.execute(
            "CREATE TABLE m.bar AS SELECT version_id, to_timestamp(day * 86400)::TIMESTAMP_S ts FROM incoming"
        )
        for rowid in set(range(len(bars))) - left.keys():
            cursor.execute("DELETE FROM m.bar WHERE rowid = ?", [rowid])
        assert fragmentation._row_groups_per_read(cursor, len(bars)) == pytest.approx(sum(expected) / len(expected))


@examples(100)
@given(
    used=st.integers(0, 2**50),
    free=st.floats(0, 1),
    bars=st.integers(0, 2**40),
    unneeded=st.floats(0, 1),
    groups=st.floats(0, 1e6),
)
def test_factors_are_at_least_one_and_the_gain_is_within_the_file(
    used: int, free: float, bars: int, unneeded: float, groups: float
) -> None:
    found = Fragmentation(used, int(used * free), bars, int(bars * unneeded), groups)
    assert 0 <= found.bytes_free <= found.bytes_to_gain <= used
    assert found.size_factor >= 1.0
    assert found.read_factor >= 1.0
    assert found.exceeds(1.5) == (found.size_factor > 1.5 or found.read_factor > 1.5)
