"""What is exported, backed up or renamed comes back, and two stores become one in either order.

Each is compared with dictionaries that know what was written, and read by plain SQL: see `plain_store.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars import batches
from lumibot_duckdb.storage.times import moment_of
from lumibot_duckdb.storage.upkeep import other_store, series_union
from lumibot_duckdb.storage.upkeep.export import exporter
from storage.upkeep.plain_store import (
    FIRST,
    MINUTES,
    STEPS,
    Bars,
    Contents,
    Write,
    assert_contains,
    filled,
    time_of,
)

HOURS = range(0, 100, 2)
FURTHER_HOURS = range(1, 100, 2)
RENAMED_MINUTES = (3, 7)
"""Minutes with a bar that is renamed: dates at which mistakes show."""
FORMATS = st.sampled_from(["parquet", "csv", "arrow"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: tmp_path_factory.mktemp("round")


@contextmanager
def small_parts(wanted: bool) -> Iterator[None]:
    """If wanted, handle each series by itself and in parts of a few bars, as long ones are."""
    with ExitStack() as patches:
        if wanted:
            patches.enter_context(mock.patch.object(batches, "MOST_SERIES", 1))
            patches.enter_context(mock.patch.object(exporter, "ROWS_OF_PIECE", 2))
            for module in (series_union, other_store):
                patches.enter_context(mock.patch.object(module, "_ROWS_AT_A_TIME", 4))
        yield


@given(steps=STEPS, file_format=FORMATS, in_parts=st.booleans())
@examples(4)
def test_export_and_import(folders: Any, steps: list[Any], file_format: str, in_parts: bool) -> None:
    """An export has the current bars of all series, the splits of their stocks, and the labels of their assets."""
    folder: Path = folders()
    storage, model = filled(folder / "s.duckdb", steps, HOURS)
    with small_parts(in_parts):
        storage.export(folder / "exported", file_format=file_format)
    storage.close()
    expected = Contents(
        model.series,
        {key: known for key, known in model.splits.items() if key in model.series},
        labels={
            symbol: label for symbol, label in model.labels.items() if any(symbol == key[0] for key in model.series)
        },
    )
    with DuckDBDataStorage(folder / "restored.duckdb") as restored:
        restored.import_exported(folder / "exported")
        assert_contains(restored, expected, snapshots=False)
        for (symbol, source), bars in model.series.items():
            pin = restored.pin(symbol, source=source)
            hours = {write.metadata["hour"] for write in restored.ingests(pin)}
            assert hours >= set().union(*bars.requested.values())


@given(steps=STEPS, later=STEPS)
@examples(4)
def test_backup_and_restore(folders: Any, steps: list[Any], later: list[Any]) -> None:
    folder: Path = folders()
    storage, model = filled(folder / "s.duckdb", steps, HOURS)
    storage.backup(folder / "backup.duckdb")
    with DuckDBDataStorage(folder / "backup.duckdb") as backup:
        assert_contains(backup, model)
    further = deepcopy(model)
    for step, hour in zip(later, HOURS[20:], strict=False):
        step(storage, further, hour)
    storage.restore(folder / "backup.duckdb")
    assert_contains(storage, model)
    storage.close()


@given(one=STEPS, other=STEPS, in_parts=st.booleans())
@examples(4)
def test_merging_in_either_order(folders: Any, one: list[Any], other: list[Any], in_parts: bool) -> None:
    """The bar that was requested later is kept, and so are all splits that were requested later, and later labels."""
    folder: Path = folders()
    first, here = filled(folder / "1.duckdb", one, HOURS)
    only_there = Write(("C", "yahoo"), (4, 8), 2.0)
    second, there = filled(folder / "2.duckdb", [only_there, *other], FURTHER_HOURS, value=2.0, split=2)
    both = merged(here, there)
    for store, source, snapshots in ((first, second, here.snapshots), (second, first, there.snapshots)):
        path = folder / "merged" / store.path.name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(store.path, path)
        with DuckDBDataStorage(path) as storage:
            with small_parts(in_parts):
                storage.merge(source.path)
            assert_contains(storage, Contents(both.series, both.splits, snapshots, both.labels))


def merged(one: Contents, other: Contents) -> Contents:
    both = deepcopy(one)
    for key, bars in other.series.items():
        known = both.series.setdefault(key, Bars())
        for minute, value in bars.values.items():
            hours = known.requested.get(minute, set())
            if known.values.get(minute) == value:
                known.requested[minute] = hours | bars.requested[minute]
            elif not hours or max(bars.requested[minute]) > max(hours):
                known.values[minute], known.requested[minute] = value, bars.requested[minute]
        known.covered |= bars.covered
    for key, (hour, ratios) in other.splits.items():
        if key not in both.splits or both.splits[key][0] < hour:
            both.splits[key] = (hour, ratios)
    for symbol, label in other.labels.items():
        both.labels[symbol] = max(label, both.labels.get(symbol, label))
    return both


@given(steps=STEPS, before=st.none() | st.sampled_from(RENAMED_MINUTES) | st.integers(1, MINUTES))
@examples(4)
def test_renaming_and_back(folders: Any, steps: list[Any], before: int | None) -> None:
    """Everything has the new symbol, or what is from before a minute; then everything has the old one again."""
    folder: Path = folders()
    storage, model = filled(folder / "s.duckdb", [*steps, Write(FIRST, RENAMED_MINUTES, 3.5)], HOURS)
    date = None if before is None else moment_of(time_of(before))
    storage.rename("A", "NEW", date)
    assert_contains(storage, renamed(model, "A", "NEW", before))
    storage.rename("NEW", "A", date)
    assert_contains(storage, model)
    storage.close()


def renamed(model: Contents, old: str, new: str, before: int | None) -> Contents:
    """Return a model in which what is from before a minute has the new symbol; snapshots show what there was."""
    found = Contents(snapshots=model.snapshots)
    for (symbol, source), bars in model.series.items():
        for name, is_moved in ((new, True), (old, False)) if symbol == old else ((symbol, None),):
            chosen = {
                minute
                for minute in (*bars.values, *bars.covered)
                if is_moved is None or is_moved == (before is None or minute < before)
            }
            part = Bars(
                {minute: value for minute, value in bars.values.items() if minute in chosen},
                {minute: hour for minute, hour in bars.requested.items() if minute in chosen},
                bars.covered & chosen,
            )
            if chosen:
                found.series[name, source] = part
    for (symbol, source), known in model.splits.items():  # all are from before the first bar
        found.splits[new if symbol == old else symbol, source] = known
    moved, remaining = (any(symbol == name for symbol, _ in found.series) for name in (new, old))
    for symbol, label in model.labels.items():
        for name, has_label in ((new, moved), (old, remaining)) if symbol == old else ((symbol, True),):
            if has_label:
                found.labels[name] = label
    return found
