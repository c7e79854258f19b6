"""What a store should contain, as plain dictionaries, and what it does contain, as any DuckDB client reads it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from hypothesis import strategies as st

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import CorporateAction, TimeRange
from storage.frames import index_of

BEGINNING = 1_704_239_760  # 2 January 2024, 23:56 UTC: exports read long series by days
MINUTES = 40
SYMBOLS = ("A", "B")
SOURCES = ("polygon", "yahoo")
FIRST = ("A", "polygon")
_LABELLED = count()

Key = tuple[str, str]
"""Symbol and source of a series."""


@dataclass
class Bars:
    """A series: close and volume of each minute, when it was requested, and the minutes that are covered.

    Two stores may have requested equal bars at different hours. Then either of them may be kept.
    """

    values: dict[int, tuple[float, int]] = field(default_factory=dict)
    requested: dict[int, set[int]] = field(default_factory=dict)
    covered: set[int] = field(default_factory=set)


@dataclass
class Contents:
    """A store. The splits of a symbol are ratios by date, with the hour at which they were requested.

    The label of a symbol has its value, after a number that is greater the later it was set.
    """

    series: dict[Key, Bars] = field(default_factory=dict)
    splits: dict[Key, tuple[int, dict[dt.date, float]]] = field(default_factory=dict)
    snapshots: dict[str, dict[Key, dict[int, tuple[float, int]]]] = field(default_factory=dict)
    labels: dict[str, tuple[int, str]] = field(default_factory=dict)

    def values(self) -> dict[Key, dict[int, tuple[float, int]]]:
        return {key: bars.values for key, bars in self.series.items() if bars.values}

    def covered(self) -> dict[Key, set[int]]:
        return {key: bars.covered for key, bars in self.series.items() if bars.covered}

    def ratios(self) -> dict[Key, dict[dt.date, float]]:
        return {key: ratios for key, (_, ratios) in self.splits.items() if ratios}

    def label_values(self) -> dict[str, str]:
        return {symbol: value for symbol, (_, value) in self.labels.items()}


@dataclass(frozen=True)
class Write:
    """Store some minutes of bars, with coverage from the first to the last."""

    key: Key
    minutes: tuple[int, ...]
    value: float

    def __call__(self, storage: DuckDBDataStorage, model: Contents, hour: int) -> None:
        columns = {"close": [self.value] * len(self.minutes), "volume": list(self.minutes)}
        frame = pd.DataFrame(columns, index=index_of([time_of(minute) for minute in self.minutes]))
        covered = TimeRange(time_of(self.minutes[0]), time_of(self.minutes[-1] + 1))
        storage.store_ohlcv_data(
            self.key[0], frame, self.key[1], "minute", covered=covered, asked_at=moment(hour), metadata={"hour": hour}
        )
        bars = model.series.setdefault(self.key, Bars())
        for minute in self.minutes:
            if bars.values.get(minute) != (self.value, minute):
                bars.values[minute] = (self.value, minute)
                bars.requested[minute] = {hour}
        bars.covered |= set(range(self.minutes[0], self.minutes[-1] + 1))


@dataclass(frozen=True)
class Split:
    """Record all splits of a stock."""

    key: Key
    days: tuple[int, ...]

    def __call__(self, storage: DuckDBDataStorage, model: Contents, hour: int) -> None:
        dates = [dt.date(2023, 1, day) for day in self.days]
        actions = [CorporateAction(date, 1, day + 1) for date, day in zip(dates, self.days, strict=True)]
        storage.record_corporate_actions(self.key[0], actions, self.key[1], checked_at=moment(hour))
        model.splits[self.key] = (hour, {date: float(day + 1) for date, day in zip(dates, self.days, strict=True)})


@dataclass(frozen=True)
class Label:
    """Label a symbol that has bars."""

    symbol: str
    value: str

    def __call__(self, storage: DuckDBDataStorage, model: Contents, hour: int) -> None:
        if any(symbol == self.symbol for symbol, _ in model.series):
            storage.label(self.symbol, "sector", self.value)
            model.labels[self.symbol] = (next(_LABELLED), self.value)


@dataclass(frozen=True)
class Snapshot:
    """Name what is stored now."""

    name: str

    def __call__(self, storage: DuckDBDataStorage, model: Contents, hour: int) -> None:
        if model.series and self.name not in model.snapshots:
            storage.snapshot(self.name)
            model.snapshots[self.name] = deepcopy(model.values())


@dataclass(frozen=True)
class Delete:
    """Delete a series that no snapshot has."""

    key: Key

    def __call__(self, storage: DuckDBDataStorage, model: Contents, hour: int) -> None:
        if self.key in model.series and not any(self.key in seen for seen in model.snapshots.values()):
            storage.delete_series(self.key[0], self.key[1], "minute")
            del model.series[self.key]


KEYS = st.sampled_from([(symbol, source) for symbol in SYMBOLS for source in SOURCES])
WRITES = st.builds(
    Write,
    KEYS,
    st.sets(st.integers(0, MINUTES), min_size=1, max_size=12).map(lambda minutes: tuple(sorted(minutes))),
    st.sampled_from([1.0, 2.0, 3.5]),
)
SPLITS = st.builds(Split, KEYS, st.sets(st.integers(1, 5), max_size=2).map(lambda days: tuple(sorted(days))))
DELETIONS = st.builds(Delete, KEYS.filter(lambda key: key != FIRST))
SNAPSHOTS = st.builds(Snapshot, st.sampled_from("xy"))
LABELS = st.builds(Label, st.sampled_from(SYMBOLS), st.sampled_from("xyz"))
STEPS = st.lists(st.one_of(WRITES, WRITES, WRITES, SPLITS, LABELS, DELETIONS, SNAPSHOTS), min_size=1, max_size=4)


def time_of(minute: int) -> int:
    return BEGINNING + 60 * minute


def moment(hour: int) -> dt.datetime:
    return dt.datetime(2024, 2, 1, tzinfo=dt.timezone.utc) + dt.timedelta(hours=hour)


def filled(
    path: Path, steps: Iterable[Any], hours: Iterable[int], value: float = 1.0, split: int = 1
) -> tuple[DuckDBDataStorage, Contents]:
    """Return a store after some steps at these hours, and what it should contain.

    Before them, it has a split, a label, and a series with a superseded version, which a snapshot shows.
    """
    storage, model = DuckDBDataStorage(path), Contents()
    begin = [
        Write(FIRST, (1, 2, 5), value),
        Split(FIRST, (split,)),
        Label("A", "x"),
        Snapshot("first"),
        Write(FIRST, (2,), 3.5),
    ]
    for step, hour in zip([*begin, *steps], hours, strict=False):
        step(storage, model, hour)
    storage.close()
    return storage, model


def assert_contains(storage: DuckDBDataStorage, expected: Contents, *, snapshots: bool = True) -> None:
    """Fail unless a store contains what it should, is sound, and shows its snapshots as they were."""
    storage.close()
    found = read(storage.path)
    assert found.values() == expected.values()
    assert found.covered() == expected.covered()
    assert found.ratios() == expected.ratios()
    assert found.label_values() == expected.label_values()
    for key, bars in found.series.items():
        wrong = {
            minute for minute, hours in bars.requested.items() if not hours <= expected.series[key].requested[minute]
        }
        assert wrong == set(), f"{key}: these minutes were requested at other hours"
    if snapshots:
        assert {each.name for each in storage.snapshots()} == set(expected.snapshots)
        for name, seen in expected.snapshots.items():
            for (symbol, source), values in seen.items():
                assert values_of(storage.get_historical_prices(symbol, source=source, as_of=name)) == values
    assert storage.verify().findings == []


def values_of(frame: pd.DataFrame) -> dict[int, tuple[float, int]]:
    minutes = (frame.index.asi8 // 10**9 - BEGINNING) // 60
    return {
        int(minute): (float(close), int(volume))
        for minute, close, volume in zip(minutes, frame["close"], frame["volume"], strict=True)
    }


def read(path: Path) -> Contents:
    """Return what a file contains, by plain SQL: the published views, and the tables of coverage and splits."""
    contents = Contents()
    with duckdb.connect(str(path), read_only=True) as plain:
        plain.execute("SET TimeZone = 'UTC'")
        for symbol, source, time, close, volume in plain.execute(
            "SELECT asset_symbol, source, epoch(timestamp), close, volume FROM ohlcv_data"
        ).fetchall():
            bars = contents.series.setdefault((symbol, source), Bars())
            minute = int(time - BEGINNING) // 60
            assert minute not in bars.values, f"{symbol} of {source} has minute {minute} twice"
            bars.values[minute] = (close, int(volume))
        for symbol, source, time, requested_at in plain.execute(
            "SELECT asset.symbol, source, epoch(ts), epoch(coalesce(requested_at, ingested_at)) "
            "FROM series JOIN asset USING (asset_id) JOIN bar ON version_id = current_version "
            "JOIN ingest USING (ingest_id) LEFT JOIN ingest_request USING (ingest_id)"
        ).fetchall():
            hour = round((requested_at - moment(0).timestamp()) / 3600)
            contents.series[symbol, source].requested[int(time - BEGINNING) // 60] = {hour}
        for symbol, source, start, end in plain.execute(
            "SELECT asset.symbol, source, epoch(range_start), epoch(range_end) "
            "FROM coverage JOIN series USING (series_id) JOIN asset USING (asset_id)"
        ).fetchall():
            minutes = range(int(start - BEGINNING) // 60, int(end - BEGINNING) // 60)
            contents.series.setdefault((symbol, source), Bars()).covered |= set(minutes)
        for symbol, source, date, ratio in plain.execute(
            "SELECT asset_symbol, source, ex_date, split_to / split_from FROM corporate_action WHERE kind = 'split'"
        ).fetchall():
            contents.splits.setdefault((symbol, source), (0, {}))[1][date] = ratio
        labels = plain.execute("SELECT asset_symbol, value FROM asset_labels WHERE name = 'sector'").fetchall()
        contents.labels = {symbol: (0, value) for symbol, value in labels}
    return contents
