"""The outline of a series is that of its bars, whatever is written, and however much of it is seen."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import outline_records
from lumibot_duckdb.storage.bars.outline import Days, Outline
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.times import Int64Array
from storage.frames import index_of

BEGIN = 1_699_000_000 // 60 * 60
STEPS = [60, 120, 300, 3_600, 7_200, 40_000, 86_400, 10**6, 10**8]
FEW = 8


@pytest.fixture(autouse=True)
def _long_from_few_bars_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline_records, "SHORT_SERIES", FEW)


def local_day(time: int) -> int:
    local = pd.Timestamp(time, unit="s", tz="UTC").tz_convert("America/New_York")
    return (local.date() - dt.date(1970, 1, 1)).days


def days_of(times: list[int]) -> list[tuple[int, int, int, int]]:
    days: dict[int, list[int]] = {}
    for time in times:
        days.setdefault(local_day(time), []).append(time)
    return [(number, len(day), day[0], day[-1]) for number, day in days.items()]


def spacing_of(times: list[int]) -> int:
    """Return the most common spacing by Lumibot's rule."""
    counts = Counter(b - a for a, b in pairwise(times) if local_day(a) == local_day(b) or b - a <= 3_600)
    return min(counts, key=lambda seconds: (-counts[seconds], seconds), default=0)


def listed(days: Days) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in days.columns()), strict=True))


def never(within: TimeRange) -> Int64Array:
    raise AssertionError(f"{within} was read")


def reading(times: list[int], reads: list[TimeRange] | None = None) -> Callable[[TimeRange], Int64Array]:
    known = np.array(times, np.int64)

    def read(within: TimeRange) -> Int64Array:
        if reads is not None:
            reads.append(within)
        return known[(known >= within.start) & (known < within.end)]

    return read


@examples(50)
@given(first=st.integers(-(2**33), 2**33), steps=st.lists(st.sampled_from(STEPS), max_size=300))
def test_days_are_new_york_calendar_days(first: int, steps: list[int]) -> None:
    times = np.cumsum([first, *steps])
    assert listed(Days.of(times)) == days_of(times.tolist())


def test_no_bars_are_on_no_days() -> None:
    nothing = Outline(times=np.empty(0, np.int64))
    assert len(nothing.days) == nothing.rows == nothing.most_common_spacing(never) == 0
    assert nothing.ends is None


# -- stored outlines ---------------------------------------------------------------------------------------------


def frame(times: list[int], close: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"close": np.full(len(times), close)}, index=index_of(sorted(times)))


def stored_days(storage: DuckDBDataStorage) -> int:
    return int(storage.sql("SELECT coalesce(sum(days), 0)::BIGINT AS days FROM outline").to_pylist()[0]["days"])


def assert_outlined(storage: DuckDBDataStorage, pin: SeriesPin) -> None:
    times = storage.read_bars(pin, columns=()).times
    outline = storage.outline(pin)
    assert (outline.times is None) == (len(times) > FEW)
    assert listed(outline.days) == days_of(times.tolist())
    assert outline.most_common_spacing(reading(times.tolist())) == spacing_of(times.tolist())


moments = st.lists(
    st.builds(lambda day, minute: BEGIN + 86_400 * day + 60 * minute, st.integers(0, 200), st.integers(0, 1_439)),
    min_size=1,
    max_size=30,
    unique=True,
)
writes = st.lists(
    st.tuples(st.sampled_from(["add", "change", "remove", "restate", "delete", "compact"]), moments), max_size=8
)


@examples(12)
@given(first=moments, writes=writes)
def test_an_outline_is_that_of_the_bars_after_any_writes(
    tmp_path_factory: pytest.TempPathFactory, first: list[int], writes: list[tuple[str, list[int]]]
) -> None:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("store"))
    storage.store_ohlcv_data("X", frame(first), "test", "minute")
    pins = [storage.pin("X")]
    for number, (kind, times) in enumerate(writes):
        if kind in ("add", "change"):
            known = set(storage.read_bars(pins[-1], columns=()).times.tolist()) if kind == "add" else set()
            new = [time for time in times if time not in known]
            storage.store_ohlcv_data("X", frame(new, number + 2.0), "test", "minute")
        elif kind == "remove":
            within = TimeRange(min(times), max(times) + 60)
            storage.store_ohlcv_data("X", frame(times[:2], -1.0), "test", "minute", covered=within, replace=True)
        elif kind == "restate":
            storage.restate_series("X", "test", "minute")
        elif kind == "delete":
            storage.delete_series("X")
            storage.store_ohlcv_data("X", frame(times), "test", "minute")
            pins.clear()
        else:
            storage.compact()
        pins.append(storage.pin("X"))
    for pin in pins:
        assert_outlined(storage, pin)
    assert storage.verify().findings == []
    storage.close()


def test_a_short_series_has_no_stored_outline(storage: DuckDBDataStorage) -> None:
    times = [BEGIN + 60 * i for i in range(FEW)]
    storage.store_ohlcv_data("X", frame(times), "test", "minute")
    assert stored_days(storage) == 0
    storage.store_ohlcv_data("X", frame([BEGIN + 86_400]), "test", "minute")
    assert stored_days(storage) == 2
    assert_outlined(storage, storage.pin("X"))


def test_a_write_replaces_the_blocks_of_its_days_alone(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", frame([BEGIN + 86_400 * i for i in range(200)]), "test", "minute")
    before = storage.sql("FROM outline ORDER BY block").to_pylist()
    storage.store_ohlcv_data("X", frame([BEGIN + 86_400 * 199 + 60]), "test", "minute")
    after = storage.sql("FROM outline ORDER BY block").to_pylist()
    assert len(after) == len(before) > 3
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


@pytest.mark.older_duckdb
def test_verify_finds_a_wrong_outline(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", frame([BEGIN + 60 * i for i in range(50)]), "test", "minute")
    version = storage.pin("X").version_id
    changes = {
        f"the outline of version {version} is not that of its bars": "UPDATE {db}.outline SET ingest_id = 0",
        f"version {version} has 50 bars, but no outline": "DELETE FROM {db}.outline",
        "version 99 has an outline, but no bars": "INSERT INTO {db}.outline VALUES (99, 0, 1, 1, '')",
    }
    for finding, change in changes.items():
        with StoreConnection.of(storage.path).write() as cursor:
            cursor.execute(change)
        found = [each.what for each in storage.verify().findings if each.check == "outlines" and each.damage]
        assert finding in found


def test_without_its_outline_a_series_is_outlined_from_its_bars(storage: DuckDBDataStorage) -> None:
    times = [BEGIN + 60 * i for i in range(50)]
    storage.store_ohlcv_data("X", frame(times), "test", "minute")
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("DELETE FROM {db}.outline")
    assert listed(storage.outline(storage.pin("X")).days) == days_of(times)


OLDER = {
    1: "DROP TABLE {db}.corporate_action; DROP TABLE {db}.corporate_action_check; DROP TABLE {db}.option_chain; "
    "DROP TABLE {db}.option_chain_strikes; DROP TABLE {db}.migrated_file; DROP TABLE {db}.ingest_request",
    2: "DROP TABLE {db}.migrated_file; DROP TABLE {db}.ingest_request",
    3: "DROP TABLE {db}.ingest_request",
    4: "SELECT 1",
}


@pytest.mark.older_duckdb
@pytest.mark.parametrize("schema", OLDER)
def test_an_older_store_gets_its_outlines(storage: DuckDBDataStorage, schema: int) -> None:
    times = [BEGIN + 86_400 * i + 60 * (i % 7) for i in range(300)]
    for symbol in ("X", "Y"):
        storage.store_ohlcv_data(symbol, frame(times), "test", "minute")
    old = storage.pin("X")
    storage.store_ohlcv_data("X", frame(times[100:200], 2.0), "test", "minute")
    storage.store_ohlcv_data("Z", frame(times[:3]), "test", "minute")
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute(OLDER[schema])
        for table in ("outline", "repeated_bar", "snapshot", "setting", "bar_checksum"):
            cursor.execute(f"DROP TABLE {{db}}.{table}")
        cursor.execute("UPDATE {db}.store_meta SET value = ? WHERE key = 'schema_version'", [str(schema)])
    storage.close()
    newer = DuckDBDataStorage(storage.path)
    for pin in (newer.pin("X"), newer.pin("Y"), newer.pin("Z"), old):
        assert_outlined(newer, pin)
    assert newer.verify().findings == []
    meta = newer.sql("SELECT value FROM store_meta WHERE key = 'schema_version'").to_pylist()
    assert meta == [{"value": str(migrations.newest())}]


# -- parts of a series -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DuckDBDataStorage, list[int]]]:
    """A series with sessions of minutes, a day of hours, gaps, and nights without a break."""
    rng = np.random.default_rng(5)
    times: list[int] = []
    for day in range(150):
        begin = BEGIN + 86_400 * day
        step = int(rng.choice([60, 60, 300, 1_800]))
        slots = np.flatnonzero(rng.random(86_400 // step) < rng.choice([0.05, 0.9]))
        times += (begin + step * slots[: int(rng.integers(1, 60))]).tolist()
    storage = DuckDBDataStorage(Path(tmp_path_factory.mktemp("history")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outline_records, "SHORT_SERIES", FEW)
        storage.store_ohlcv_data("X", frame(times), "test", "minute")
    yield storage, sorted(set(times))
    storage.close()


@st.composite
def ranges(draw: st.DrawFn) -> list[TimeRange]:
    edges = sorted(draw(st.sets(st.integers(-100, 150 * 1_440 + 100), min_size=2, max_size=6)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return [TimeRange(BEGIN + 60 * a, BEGIN + 60 * b) for a, b in pairs]


@examples(30)
@given(ranges=ranges(), added=st.sets(st.integers(-10, 150 * 1_440), max_size=4))
def test_a_part_has_the_outline_of_its_bars(
    history: tuple[DuckDBDataStorage, list[int]], ranges: list[TimeRange], added: set[int]
) -> None:
    storage, times = history
    extra = sorted(BEGIN + 60 * minute + 30 for minute in added)
    visible = sorted([t for t in times if any(r.start <= t < r.end for r in ranges)] + extra)
    stored = storage.outline(storage.pin("X"))
    assert stored.times is None
    reads: list[TimeRange] = []
    read = reading(visible, reads)
    for whole in (stored, Outline(times=np.array(times))):
        reads.clear()
        part = whole.within(ranges, read, np.array(extra, np.int64))
        assert (part.rows, part.ends) == (len(visible), (visible[0], visible[-1]) if visible else None)
        assert listed(part.days) == days_of(visible)
        assert len(reads) <= 2 * len(ranges) + len(extra)
        assert part.most_common_spacing(read) == spacing_of(visible)
        again = part.within(ranges, read, np.array(extra, np.int64))
        assert listed(again.days) == days_of(visible)
        assert again.most_common_spacing(read) == spacing_of(visible)


def test_whole_days_are_not_read(history: tuple[DuckDBDataStorage, list[int]]) -> None:
    storage, times = history
    stored = storage.outline(storage.pin("X"))
    first, last = (int(pd.Timestamp(day, tz="America/New_York").timestamp()) for day in ("2023-11-20", "2024-02-20"))
    part = stored.within([TimeRange(first, last)], never)
    visible = [t for t in times if first <= t < last]
    assert listed(part.days) == days_of(visible)
    reads: list[TimeRange] = []
    part.most_common_spacing(reading(visible, reads))
    assert len(reads) <= 2  # the blocks at both ends


def test_blocks_that_cannot_change_the_most_common_spacing_are_not_read(storage: DuckDBDataStorage) -> None:
    times = [BEGIN + 86_400 * day + 60 * minute for day in range(200) for minute in range(30)]
    storage.store_ohlcv_data("X", frame(times), "test", "minute")
    cut = TimeRange(BEGIN, BEGIN + 86_400 * 199)
    part = storage.outline(storage.pin("X")).within([cut], reading(times))
    assert part.most_common_spacing(never) == 60


def test_the_first_times_of_a_series_are_read_with_its_first_bars(storage: DuckDBDataStorage) -> None:
    times = [BEGIN + 86_400 * day + 60 * minute for day in range(60) for minute in range(501) if minute != 77]
    storage.store_ohlcv_data("X", frame(times), "test", "minute")
    storage.store_ohlcv_data("Y", frame(times, 2.0), "test", "minute")
    first, other = storage.pin("X"), storage.pin("Y")
    storage.outline(first)
    before = storage.counters.usage().reads
    day, page, later = (TimeRange(times[a], times[b]) for a, b in ((100, 400), (100, 9_000), (15_000, 20_000)))
    assert storage.read_bars(first, day, (), remember=False).times.tolist() == times[100:400]
    assert storage.read_bars(first, page, (), remember=False).times.tolist() == times[100:9_000]
    bars = storage.read_bars(first, TimeRange(times[600], times[700]), ["close"], remember=False)
    assert storage.counters.usage().reads == before + 1
    assert bars.times.tolist() == times[600:700]
    assert bars.columns["close"].tolist() == [1.0] * 100
    for pin in (first, other):
        storage.outline(pin)
        for within in (later, TimeRange(times[0], times[-1] + 1), TimeRange(0, BEGIN), TimeRange(times[-1] + 1, 2**40)):
            expected = [time for time in times if within.start <= time < within.end]
            assert storage.read_bars(pin, within, (), remember=False).times.tolist() == expected
        assert storage.read_bars(pin, day, remember=False).columns["close"][0] == (1.0 if pin is first else 2.0)


@examples(100)
@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=60), st.data())
def test_the_minutes_of_days_without_a_gap_follow_from_them(chosen: list[int], data: st.DataObject) -> None:
    """Runs of minutes, some with gaps between them, and ranges that cut them anywhere."""
    runs = {minute + step for minute in chosen for step in range(data.draw(st.integers(1, 30)))}
    times = np.array(sorted(BEGIN + 60 * minute for minute in runs), np.int64)
    days = Days.of(times)
    start = BEGIN + data.draw(st.integers(-1_000, 250_000))
    within = TimeRange(start, start + data.draw(st.integers(0, 250_000)))
    found = days.every_minute(within)
    expected = times[(times >= within.start) & (times < within.end)]
    touched = days.chosen((days.last >= within.start) & (days.first < within.end))
    complete = touched.bars.sum() == ((touched.last - touched.first) // 60 + 1).sum()
    assert (found is not None) == complete
    if found is not None:
        assert found.tolist() == expected.tolist()


@examples(100)
@given(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, 5, 60, 600]), max_size=200), st.integers(0, 2_000))
def test_days_of_mostly_minutes_need_not_be_counted(steps: list[int], start: int) -> None:
    times = (BEGIN + 60 * (start + np.cumsum([0, *steps]))).tolist()
    days = Days.of(np.array(times, np.int64))
    if days.are_mostly_minutes():
        assert spacing_of(times) == 60
        assert Outline(days=days).most_common_spacing(never, on_minute=True) == 60
    assert Outline(days=days).most_common_spacing(reading(times)) == spacing_of(times)


def test_the_first_times_of_a_series_without_gaps_are_not_read(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    times = BEGIN + 60 * np.arange(3 * 1_440)
    frame = pd.DataFrame({"close": np.arange(len(times)) + 0.5}, index=index_of(times.tolist()))
    storage.store_ohlcv_data("AAA", frame, "polygon", "minute")
    for within in (TimeRange(BEGIN + 90, BEGIN + 700), TimeRange(BEGIN - 5, BEGIN + 86_400)):
        reader = DuckDBDataStorage(tmp_path / "bars.duckdb")
        pin = reader.pin("AAA", timeframe="minute", source="polygon")
        reader.outline(pin)
        before = reader.counters.usage().reads
        found = reader.read_bars(pin, within, ()).times
        assert reader.counters.usage().reads == before
        assert found.tolist() == times[(times >= within.start) & (times < within.end)].tolist()
