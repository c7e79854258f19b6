"""Series that are kept in memory for forked processes: what is read of them is what the store has, without a query."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import keeping, kept_series, outline_records
from lumibot_duckdb.storage.bars.keeping import keep_series
from lumibot_duckdb.storage.bars.known_contents import KnownContents
from lumibot_duckdb.storage.connection.engine import Engine
from lumibot_duckdb.storage.errors import VersionGoneError
from storage.frames import assert_same, minute_bars

BARS = minute_bars(rows=40)
START = int(BARS.index[0].timestamp())


def store(storage: DuckDBDataStorage, symbol: str, bars: Any = BARS, **settings: Any) -> None:
    storage.store_ohlcv_data(symbol, bars, "test", "minute", metadata={"note": symbol}, **settings)


def keep(storage: DuckDBDataStorage, *symbols: str) -> list[SeriesPin]:
    """Keep some series, as the process that forks the trials of a sweep does; return their pins."""
    pins = [storage.pin(symbol) for symbol in symbols]
    keep_series(storage._store, [pin.series_id for pin in pins])
    return pins


def kept(storage: DuckDBDataStorage, pin: SeriesPin) -> bool:
    return storage._store.kept.get(pin) is not None


def seen(storage: DuckDBDataStorage, symbol: str, within: TimeRange) -> list[Any]:
    """Return what a data source reads of a series, in a form that can be compared."""
    pin = storage.pin(symbol)
    facts, outline, bars = storage.facts(pin), storage.outline(pin), storage.read_bars(pin, within, remember=False)
    times = storage.read_bars(pin, within, columns=(), remember=False).times
    ends = () if facts.last is None else (TimeRange(facts.last, facts.last + 1),)
    days = [outline.days.first.tolist(), outline.days.last.tolist(), outline.days.bars.tolist()]
    arrays = {name: values.tolist() for name, values in bars.columns.items()}
    dtypes = {name: values.dtype for name, values in bars.columns.items()}
    covered = storage.coverage(symbol, as_of=clock.utc_now())
    return [pin, facts, outline.rows, outline.ends, days, bars.times.tolist(), arrays, dtypes, times.tolist(), covered,
            storage.ingests(pin, ends)]  # fmt: skip


def refuse_reads(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage._store.connection, "read", None)


@examples(8)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    again=st.integers(0, 40),
    start=st.integers(-5, 45),
    length=st.integers(0, 50),
)
def test_kept_series_are_those_of_the_store(sizes: list[int], again: int, start: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(outline_records, "SHORT_SERIES", 20)  # so that some have a stored outline
        storage = DuckDBDataStorage(Path(folder) / "s.duckdb")
        symbols = [f"S{number}" for number in range(len(sizes))]
        for seed, (symbol, size) in enumerate(zip(symbols, sizes, strict=True)):
            bars = minute_bars(rows=40, seed=seed)
            bars.loc[bars.index[:3], "volume"] = np.nan
            store(storage, symbol, bars.iloc[:size])
        store(storage, symbols[0], minute_bars(rows=40, seed=0).iloc[:again])
        within = TimeRange(START + 60 * start, START + 60 * (start + length))
        expected = [seen(storage, symbol, within) for symbol in symbols]
        pins = keep(storage, *symbols)
        assert all(kept(storage, pin) for pin in pins)
        fresh = DuckDBDataStorage(storage.path)
        refuse_reads(fresh, monkeypatch)
        for symbol, before in zip(symbols, expected, strict=True):
            found = seen(fresh, symbol, within)
            np.testing.assert_equal(found[6], before[6])  # NaN equals itself there
            assert found[:6] == before[:6]
            assert found[7:] == before[7:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_reads_them_without_duckdb(storage: DuckDBDataStorage) -> None:
    store(storage, "A")
    keep(storage, "A")
    child = os.fork()
    if not child:
        fresh = DuckDBDataStorage(storage.path)
        frame = fresh.read_pandas(fresh.pin("A"))
        os._exit(int(Engine._current is not None or not frame.equals(BARS.tz_convert(frame.index.tz))))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_same(storage.get_historical_prices("A"), BARS)


def test_what_is_written_later_is_read_from_the_store(storage: DuckDBDataStorage) -> None:
    store(storage, "A")
    (pin,) = keep(storage, "A")
    later = minute_bars("2024-01-03 09:30", rows=20, seed=1)
    store(storage, "A", later)
    now = storage.pin("A")
    assert (kept(storage, pin), kept(storage, now)) == (True, False)
    assert len(storage.read_pandas(now)) == 60
    assert_same(storage.read_pandas(pin), BARS)


def test_restated_bars_are_read_from_the_store(storage: DuckDBDataStorage) -> None:
    store(storage, "A")
    (pin,) = keep(storage, "A")
    other = minute_bars(rows=40, seed=7)
    store(storage, "A", other, replace=True)
    assert_same(storage.get_historical_prices("A"), other)
    assert_same(storage.read_pandas(pin), BARS)


def test_another_history_at_the_path_is_noticed(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A", minute_bars(rows=40, seed=3))
    storage.close()
    backup = tmp_path / "backup"
    shutil.copy(storage.path, backup)
    store(storage, "A")
    (pin,) = keep(storage, "A")
    storage.close()
    shutil.copy(backup, storage.path)
    assert_same(storage.get_historical_prices("A"), minute_bars(rows=40, seed=3))
    assert not kept(storage, pin)
    with pytest.raises(VersionGoneError):
        storage.read_bars(pin)


def test_long_series_and_those_without_room_are_left_out(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(storage, "LONG")
    short = BARS.iloc[:10]
    for symbol in ("A", "B", "C"):
        store(storage, symbol, short)
    monkeypatch.setattr(keeping, "_MOST_ROWS", 20)
    monkeypatch.setattr(kept_series, "_MOST_BYTES", 2 * 10 * 8 * 8)
    pins = keep(storage, "LONG", "A", "B", "C")
    found = [kept(storage, pin) for pin in pins]
    assert found[:2] == [False, True]
    assert not found[3]
    for pin, bars in zip(pins, (BARS, short, short, short), strict=True):
        assert_same(storage.read_pandas(pin), bars)


def test_unknown_and_deleted_series_are_left_out(storage: DuckDBDataStorage) -> None:
    store(storage, "A")
    store(storage, "GONE")
    gone = storage.pin("GONE")
    storage.delete_series("GONE")
    keep_series(storage._store, [gone.series_id, 10**6, storage.pin("A").series_id])
    assert not kept(storage, gone)
    assert kept(storage, storage.pin("A"))


def test_nothing_is_kept_while_a_writer_is_at_work(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    store(storage, "A")
    storage.close()
    monkeypatch.setattr(storage._store.connection, "opens_at_once", lambda: False)
    (pin,) = keep(storage, "A")
    assert not kept(storage, pin)


def test_a_store_that_does_not_exist_has_nothing_to_keep(storage: DuckDBDataStorage) -> None:
    with pytest.raises(Exception, match="there is no store"):
        keep_series(storage._store, [1])


def test_the_series_that_a_process_has_read_are_known(storage: DuckDBDataStorage) -> None:
    store(storage, "A")
    store(storage, "B")
    fresh = DuckDBDataStorage(storage.path)
    fresh.read_pandas(fresh.pin("B"))
    path = Path(os.path.realpath(storage.path))
    assert KnownContents.read_series()[path] == [fresh.pin("B").series_id]
