"""Random writes, restatements, snapshots, compactions and prunes, beside a plain model."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError, SnapshotError
from lumibot_duckdb.storage.times import midnight

NEW_YORK = ZoneInfo("America/New_York")
DAY = dt.timedelta(1)
FIRST_DAY = dt.date(2023, 1, 2)
NOW = dt.datetime(2023, 6, 1, 15, tzinfo=dt.timezone.utc)
ALL = [("A", "polygon"), ("A", "yahoo"), ("B", "polygon")]
KEYS = st.sampled_from([ALL[0], *ALL])
NAMES = st.sampled_from(["one", "two"])


@dataclass
class Series:
    """What the model knows of a series: its bars and covered days, and which version and series they are of."""

    born: int
    version: int
    bars: dict[int, float] = field(default_factory=dict)
    covered: set[int] = field(default_factory=set)


@dataclass
class Model:
    """A store as dictionaries. Days are counted from `FIRST_DAY`."""

    now: dt.datetime = NOW
    series: dict[tuple[str, str], Series] = field(default_factory=dict)
    snapshots: dict[str, dict[tuple[str, str], Series]] = field(default_factory=dict)
    steps: int = 0

    def seen_by_snapshot(self, key: tuple[str, str]) -> bool:
        born = self.series[key].born
        return any(key in seen and seen[key].born == born for seen in self.snapshots.values())

    def version_is_kept(self, key: tuple[str, str]) -> bool:
        version = self.series[key].version
        return any(key in seen and seen[key].version == version for seen in self.snapshots.values())


def time_of(day: int) -> int:
    return midnight(FIRST_DAY + day * DAY, NEW_YORK)


def frame_of(bars: dict[int, float]) -> pd.DataFrame:
    index = [pd.Timestamp(FIRST_DAY + day * DAY, tz="America/New_York") for day in sorted(bars)]
    return pd.DataFrame({"close": [bars[day] for day in sorted(bars)]}, index=pd.DatetimeIndex(index, name="datetime"))


def days_of(frame: pd.DataFrame) -> dict[int, float]:
    days = [(moment.date() - FIRST_DAY).days for moment in frame.index]
    return dict(zip(days, frame["close"].tolist(), strict=True))


@dataclass(frozen=True)
class Write:
    key: tuple[str, str]
    start: int
    length: int
    value: float
    step: int

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        bars = dict.fromkeys(range(self.start, self.start + self.length, self.step), self.value)
        covered = TimeRange(time_of(self.start), time_of(self.start + self.length))
        storage.store_ohlcv_data(self.key[0], frame_of(bars), self.key[1], "day", covered=covered)
        known = model.series.setdefault(self.key, Series(model.steps, model.steps))
        if any(known.bars.get(day, value) != value for day, value in bars.items()):
            known.version = model.steps
        known.bars = {**known.bars, **bars}
        known.covered = known.covered | set(range(self.start, self.start + self.length))


@dataclass(frozen=True)
class Restate:
    key: tuple[str, str]

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        storage.restate_series(self.key[0], self.key[1], "day")
        if self.key in model.series:
            model.series[self.key] = Series(model.series[self.key].born, model.steps)


@dataclass(frozen=True)
class Delete:
    key: tuple[str, str]

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        refused = self.key in model.series and model.seen_by_snapshot(self.key)
        try:
            storage.delete_series(AssetKey(self.key[0]), self.key[1], "day")
            assert not refused
            model.series.pop(self.key, None)
        except SnapshotError:
            assert refused


@dataclass(frozen=True)
class Snapshot:
    name: str

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        if self.name in model.snapshots:
            storage.delete_snapshot(self.name)
            del model.snapshots[self.name]
            return
        storage.snapshot(self.name)
        copies = {
            key: Series(known.born, known.version, dict(known.bars), set(known.covered))
            for key, known in model.series.items()
        }
        model.snapshots[self.name] = copies


@dataclass(frozen=True)
class Compact:
    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        storage.compact(dt.timedelta(0))


@dataclass(frozen=True)
class JumpClock:
    hours: int

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        model.now = NOW + dt.timedelta(hours=self.hours)


@dataclass(frozen=True)
class Prune:
    days: int
    symbols: tuple[str, ...]
    source: str | None

    def __call__(self, storage: DuckDBDataStorage, model: Model) -> None:
        age = dt.timedelta(self.days)
        report = storage.prune(age, self.symbols, self.source)
        start = ((model.now - age).astimezone(NEW_YORK).date() - FIRST_DAY).days
        removed: dict[tuple[str, str], int] = {}
        kept: set[tuple[str, str]] = set()
        for key, known in list(model.series.items()):
            old = {day for day in known.bars if day < start}
            if not old or (self.symbols and key[0] != "A") or self.source not in (None, key[1]):
                continue
            if model.version_is_kept(key):
                kept.add(key)
                continue
            removed[key] = len(old)
            known.bars = {day: value for day, value in known.bars.items() if day >= start}
            known.covered = {day for day in known.covered if day >= start}
            known.version = model.steps
            if not known.bars and not known.covered and not model.seen_by_snapshot(key):
                del model.series[key]
        assert {(each.key.asset.symbol, each.key.source): each.bars for each in report.pruned} == removed
        assert {(each.key.asset.symbol, each.key.source) for each in report.kept} == kept


WRITES = st.builds(Write, KEYS, st.integers(0, 60), st.integers(10, 60), st.sampled_from([1.0, 2.0]), st.integers(1, 2))
PRUNES = st.builds(Prune, st.integers(70, 150), st.sampled_from([(), ("a*",)]), st.sampled_from([None, "polygon"]))
OTHERS = st.one_of(
    st.builds(Restate, KEYS), st.builds(Delete, KEYS), st.builds(JumpClock, st.integers(-24 * 9, 24 * 20))
)
OPERATIONS = st.lists(
    st.one_of(WRITES, WRITES, PRUNES, st.builds(Snapshot, NAMES), st.builds(Compact), OTHERS), min_size=4, max_size=10
)
BEGINNING = (Write(ALL[0], 0, 50, 1.0, 1), Write(ALL[2], 10, 30, 1.0, 2), Snapshot("one"))


def check(storage: DuckDBDataStorage, model: Model) -> None:
    assert {(info.key.asset.symbol, info.key.source) for info in storage.list_series()} == set(model.series)
    for key, known in model.series.items():
        assert days_of(read(storage, key)) == known.bars
        missing = storage.missing_ranges(key[0], TimeRange(time_of(-5), time_of(130)), "day", key[1])
        days = {day for day in range(-5, 130) for gap in missing if gap.start <= time_of(day) < gap.end}
        assert days == set(range(-5, 130)) - known.covered
    for name, seen in model.snapshots.items():
        for key in ALL:
            if key in seen and key in model.series:
                assert days_of(read(storage, key, as_of=name)) == seen[key].bars
            elif key in model.series:
                try:
                    read(storage, key, as_of=name)
                    raise AssertionError(f"{key} was not stored yet as of {name}")
                except SeriesNotFoundError:
                    pass


def read(storage: DuckDBDataStorage, key: tuple[str, str], **more: Any) -> pd.DataFrame:
    return storage.get_historical_prices(key[0], timeframe="day", source=key[1], **more)


@contextmanager
def clock_of(model: Model) -> Iterator[None]:
    real = clock.utc_now
    clock.utc_now = lambda: model.now  # type: ignore[assignment]
    try:
        yield
    finally:
        clock.utc_now = real


@given(operations=OPERATIONS)
@examples(6)
def test_snapshots_and_prunes_do_what_they_say(operations: list[Any]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder, clock_of(model):
        storage = DuckDBDataStorage(folder)
        storage.store_ohlcv_data("KEPT", frame_of({150: 1.0}), "test", "day")
        storage.delete_series("KEPT")
        assert storage.verify().findings == []  # before a compaction drops what the deletion has left behind
        for operation in (*BEGINNING, *operations, Compact()):
            model.steps += 1
            operation(storage, model)
            if isinstance(operation, Compact | Prune):
                check(storage, model)
            if isinstance(operation, Compact | Prune | Delete):
                assert storage.verify().findings == []
        storage.close()
