"""What the process that forks trials learns from the first one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.bars.known_contents import KnownContents
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.sweeps.trials import warm_start
from storage.frames import assert_same, minute_bars


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a trial, in a process that has opened no store and computes nothing for the next trials."""
    monkeypatch.setattr(KnownContents, "_shared", WeakKeyDictionary())
    monkeypatch.setattr(warm_start, "fill_caches", lambda: None)
    monkeypatch.setattr(warm_start, "make_steps_cheaper", lambda: None)
    monkeypatch.setattr(warm_start, "_stores", [])
    return tmp_path


@pytest.fixture
def storage(folder: Path) -> Iterator[DuckDBDataStorage]:
    """Return an empty store."""
    with DuckDBDataStorage(folder / "s.duckdb") as storage:
        yield storage


def test_series_that_a_trial_has_read_are_kept(
    folder: Path, storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = minute_bars(rows=30)
    for symbol in ("A", "B"):
        storage.store_ohlcv_data(symbol, bars, "test", "minute")
    trial = DuckDBDataStorage(storage.path)
    trial.read_pandas(trial.pin("A"))
    warm_start.note_loaded(folder, frozenset(sys.modules))
    assert warm_start.load_as_noted(folder)
    assert not storage._store.connection._lease.is_held
    monkeypatch.setattr(Engine, "current", None)  # DuckDB is not needed any more
    later = DuckDBDataStorage(storage.path)
    assert_same(later.read_pandas(later.pin("A")), bars)
    with pytest.raises(TypeError):
        later.read_pandas(later.pin("B"))


def test_a_store_that_has_gone_is_no_error(folder: Path, storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    storage.pin("A")
    warm_start.note_loaded(folder, frozenset(sys.modules))
    storage.close()
    storage.path.unlink()
    assert warm_start.load_as_noted(folder)


def test_an_error_of_duckdb_ends_no_sweep(
    folder: Path, storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise duckdb.IOException("no space for threads")

    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    storage.pin("A")
    warm_start.note_loaded(folder, frozenset(sys.modules))
    monkeypatch.setattr(warm_start, "keep_series", fail)
    assert warm_start.load_as_noted(folder)


def test_a_trial_without_an_end_has_noted_nothing(folder: Path) -> None:
    assert not warm_start.load_as_noted(folder)
