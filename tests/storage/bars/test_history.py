"""Writes, restatements, removals, pins and `as_of`, against a plain pandas model."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import threading
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.errors import SeriesNotFoundError, VersionGoneError
from storage.frames import assert_same, index_of, minute_bars

START = 1_700_000_040
SLOTS = 40
SYMBOLS = ("AAA", "BBB")
VALUES = (1.0, 2.5, np.nan, -0.0, 0.0)
EMPTY = pd.DataFrame({"close": np.empty(0), "volume": np.empty(0, np.int64)}, index=index_of([]))


class History(RuleBasedStateMachine):
    """The model keeps, for each symbol, the current frame, every pin with its frame, and what stood at each moment."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.storage = DuckDBDataStorage(self.folder)
        self.model: dict[str, pd.DataFrame] = {}
        self.pins: list[tuple[SeriesPin, pd.DataFrame]] = []
        self.moments: list[tuple[dt.datetime, dict[str, pd.DataFrame]]] = []
        self.may_be_gone: set[int] = set()
        self.deleted_once: set[str] = set()

    def teardown(self) -> None:
        self.storage.close()
        shutil.rmtree(self.folder)

    slots = st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=12, unique=True)
    symbols = st.sampled_from(SYMBOLS)

    def frame(self, slots: list[int], seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        times = sorted(START + 60 * slot for slot in slots)
        return pd.DataFrame(
            {
                "close": np.array([VALUES[i] for i in rng.integers(0, len(VALUES), len(times))]),
                "volume": rng.integers(0, 3, len(times)),
            },
            index=index_of(times),
        )

    def remember(self) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        self.moments.append((now, {symbol: frame.copy() for symbol, frame in self.model.items()}))

    @rule(symbol=symbols, slots=slots, seed=st.integers(0, 5))
    def add_new_times(self, symbol: str, slots: list[int], seed: int) -> None:
        known = set(self.model.get(symbol, EMPTY).index.asi8 // 10**9)
        new = [slot for slot in slots if START + 60 * slot not in known]
        if new:
            self.write(symbol, new, seed)

    @rule(symbol=symbols, slots=slots, seed=st.integers(0, 5))
    def write_any_times(self, symbol: str, slots: list[int], seed: int) -> None:
        self.write(symbol, slots, seed)

    def write(self, symbol: str, slots: list[int], seed: int) -> None:
        new = self.frame(slots, seed)
        old = self.model.get(symbol, EMPTY)
        merged = pd.concat([old[~old.index.isin(new.index)], new]).sort_index()
        result = self.storage.store_ohlcv_data(symbol, new, "test", "minute")
        common = new.index.intersection(old.index)
        changed = sum(not same_row(old.loc[t], new.loc[t]) for t in common)
        assert (result.added, result.changed, result.removed) == (len(new) - len(common), changed, 0)
        assert result.unchanged == len(common) - changed
        assert result.new_version == (changed > 0)
        self.model[symbol] = merged
        self.remember()

    @rule(symbol=symbols, start=st.integers(0, SLOTS), length=st.integers(0, SLOTS), data=st.data())
    def replace_range(self, symbol: str, start: int, length: int, data: st.DataObject) -> None:
        length = min(length, SLOTS - start)
        slots = data.draw(st.lists(st.integers(start, start + length - 1), unique=True)) if length else []
        new = self.frame(slots, data.draw(st.integers(0, 5)))
        covered = TimeRange(START + 60 * start, START + 60 * (start + length))
        result = self.storage.store_ohlcv_data(symbol, new, "test", "minute", covered=covered, replace=True)
        old = self.model.get(symbol)
        if old is None and covered.start == covered.end:
            return
        before = old if old is not None else EMPTY
        seconds = before.index.asi8 // 10**9
        outside = before[(seconds < covered.start) | (seconds >= covered.end)]
        assert result.removed == len(before) - len(outside) - len(before.index.intersection(new.index))
        self.model[symbol] = pd.concat([outside, new]).sort_index()
        self.remember()

    @rule(symbol=symbols)
    def write_the_same_again(self, symbol: str) -> None:
        if len(self.model.get(symbol, EMPTY)):
            result = self.storage.store_ohlcv_data(symbol, self.model[symbol], "test", "minute")
            assert (result.added, result.changed, result.removed, result.new_version) == (0, 0, 0, False)

    @rule(symbol=symbols)
    def renew(self, symbol: str) -> None:
        self.storage.restate_series(symbol, "test", "minute")
        if symbol in self.model:
            self.model[symbol] = self.model[symbol].iloc[:0]
            assert self.storage.coverage(symbol) == []
            self.remember()

    @rule(symbol=symbols)
    def delete(self, symbol: str) -> None:
        gone = self.storage.delete_series(symbol)
        assert gone == len(self.model.pop(symbol, EMPTY))
        self.may_be_gone |= {pin.version_id for pin, _ in self.pins if pin.key.asset.symbol == symbol}
        self.deleted_once.add(symbol)
        self.remember()

    @rule(symbol=symbols)
    def pin(self, symbol: str) -> None:
        if symbol in self.model:
            self.pins.append((self.storage.pin(symbol), self.model[symbol].copy()))
        else:
            with pytest.raises(SeriesNotFoundError):
                self.storage.pin(symbol)

    @rule(keep=st.booleans())
    @precondition(lambda self: self.storage.path.exists())
    def compact(self, keep: bool) -> None:
        self.storage.compact(dt.timedelta(days=1 if keep else 0))
        if not keep:
            current = {self.storage.pin(symbol).version_id for symbol in self.model}
            self.may_be_gone |= {pin.version_id for pin, _ in self.pins} - current
            self.moments.clear()

    @rule(close=st.booleans())
    def open_anew(self, close: bool) -> None:
        if close:
            self.storage.close()
        self.storage = DuckDBDataStorage(self.folder)

    @invariant()
    def current_bars_are_those_of_the_model(self) -> None:
        for symbol, frame in getattr(self, "model", {}).items():
            assert_same(self.storage.get_historical_prices(symbol), frame)
            facts = self.storage.facts(self.storage.pin(symbol))
            assert facts.rows == len(frame)
            if len(frame):
                bounds = [int(t.timestamp()) for t in frame.index[[0, -1]]]
                assert [facts.first, facts.last] == bounds
                assert facts.columns[0].has_nulls or not frame["close"].isna().any()

    @invariant()
    def pinned_bars_never_change(self) -> None:
        for pin, frame in getattr(self, "pins", []):
            try:
                assert_same(DuckDBDataStorage(self.folder).read_pandas(pin), frame)
            except VersionGoneError:
                assert pin.version_id in self.may_be_gone

    @rule()
    def the_past_is_as_it_was(self) -> None:
        for moment, frames in self.moments:
            for symbol, frame in frames.items():
                if symbol not in self.deleted_once and symbol in self.model:
                    assert_same(self.storage.get_historical_prices(symbol, as_of=moment), frame)

    @rule()
    @precondition(lambda self: self.storage.path.exists())
    def the_store_is_sound(self) -> None:
        report = self.storage.verify()
        assert report.sound, report.findings
        listed = {info.key.asset.symbol: info.rows for info in self.storage.list_series()}
        assert listed == {symbol: len(frame) for symbol, frame in self.model.items()}
        assert self.storage.sql("SELECT count(*) AS n FROM ohlcv_data").to_pylist() == [{"n": sum(listed.values())}]


def same_row(one: Any, other: Any) -> bool:
    return bool((one.to_numpy().view(np.int64) == other.to_numpy().view(np.int64)).all())


History.TestCase.settings = examples(5, stateful_step_count=25)
TestHistory = pytest.mark.older_duckdb(History.TestCase)


def test_new_times_are_added_to_the_current_version(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=100)
    storage.store_ohlcv_data("X", frame.iloc[:50], "test", "minute")
    before = storage.pin("X")
    result = storage.store_ohlcv_data("X", frame.iloc[40:], "test", "minute")
    assert (result.added, result.unchanged, result.new_version) == (50, 10, False)
    assert storage.pin("X").version_id == before.version_id
    assert_same(storage.read_pandas(before), frame.iloc[:50])
    assert_same(storage.get_historical_prices("X"), frame)


def test_a_changed_value_makes_a_new_version_and_keeps_the_old(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=100)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    before = storage.pin("X")
    restated = frame.copy()
    restated.iloc[7, 3] += 0.01
    result = storage.store_ohlcv_data("X", restated.iloc[5:10], "test", "minute")
    assert (result.changed, result.unchanged, result.new_version) == (1, 4, True)
    assert_same(storage.get_historical_prices("X"), restated)
    assert_same(storage.read_pandas(before), frame)


def test_unchanged_rows_of_a_new_version_keep_the_ingest_that_brought_them(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    storage.store_ohlcv_data("X", frame, "test", "minute", metadata={"file": "first.csv"})
    frame.iloc[3, 0] += 1
    storage.store_ohlcv_data("X", frame, "test", "minute", metadata={"file": "second.csv"})
    rows = storage.sql('SELECT metadata FROM ohlcv_data ORDER BY "timestamp"')["metadata"].to_pylist()
    assert rows == ['{"file": "first.csv"}'] * 3 + ['{"file": "second.csv"}'] + ['{"file": "first.csv"}'] * 6


@pytest.mark.older_duckdb
def test_columns_that_a_write_lacks_keep_their_values(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    frame["vwap"] = frame["close"] + 0.005
    storage.store_ohlcv_data("X", frame, "test", "minute")
    fewer = frame.drop(columns="vwap")
    assert storage.store_ohlcv_data("X", fewer, "test", "minute").ingest_id is None
    fewer.iloc[2, 3] += 1
    storage.store_ohlcv_data("X", fewer, "test", "minute")
    frame.iloc[2, 3] += 1
    assert_same(storage.get_historical_prices("X"), frame)


@pytest.mark.older_duckdb
def test_with_replace_columns_that_a_write_lacks_are_emptied(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    frame["vwap"] = 1.0
    storage.store_ohlcv_data("X", frame, "test", "minute")
    part = frame.iloc[:4].drop(columns="vwap")
    result = storage.store_ohlcv_data("X", part, "test", "minute", replace=True)
    assert (result.changed, result.removed) == (4, 0)
    frame.iloc[:4, frame.columns.get_loc("vwap")] = np.nan
    assert_same(storage.get_historical_prices("X"), frame)


@pytest.mark.older_duckdb
def test_with_replace_a_frame_for_everything_decides_the_columns(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    frame["vwap"] = 1.0
    storage.store_ohlcv_data("X", frame, "test", "minute")
    anew = minute_bars(rows=10, seed=3).drop(columns="volume")
    storage.store_ohlcv_data("X", anew, "test", "minute", replace=True)
    assert_same(storage.get_historical_prices("X"), anew)


def test_a_failed_write_stores_nothing(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    before = storage.statistics()
    text = minute_bars("2024-01-03 09:30", rows=10)
    text["volume"] = "many"
    with pytest.raises(ValueError, match="'volume' is stored as int64 and came as object"):
        storage.store_ohlcv_data("X", text, "test", "minute")
    assert_same(storage.get_historical_prices("X"), frame)
    assert (storage.statistics().rows, storage.statistics().versions) == (before.rows, before.versions)


def test_as_of_before_the_first_write_finds_nothing(storage: DuckDBDataStorage) -> None:
    before = dt.datetime.now(dt.timezone.utc)
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    with pytest.raises(SeriesNotFoundError, match="not stored yet as of"):
        storage.pin("X", as_of=before)


def test_as_of_a_version_that_was_compacted_away_reports_it(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    storage.store_ohlcv_data("X", frame, "test", "minute")
    moment = dt.datetime.now(dt.timezone.utc)
    frame.iloc[0, 0] += 1
    storage.store_ohlcv_data("X", frame, "test", "minute")
    assert storage.get_historical_prices("X", as_of=moment).iloc[0, 0] == frame.iloc[0, 0] - 1
    storage.compact(dt.timedelta(0))
    with pytest.raises(VersionGoneError, match="no longer in the store"):
        storage.pin("X", as_of=moment)


def test_a_deleted_series_is_gone_and_its_pins_report_it(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", minute_bars(rows=7), "test", "minute")
    storage.store_ohlcv_data("X", minute_bars(rows=5, freq="D"), "test", "day")
    pin = storage.pin("X")
    assert storage.delete_series("X", timeframe="minute") == 7
    with pytest.raises(SeriesNotFoundError, match="it has: X stock, day bars from test"):
        storage.pin("X")
    for read in (storage.read_bars, storage.read_arrow, storage.outline):
        with pytest.raises(VersionGoneError):
            read(pin)
    storage.store_ohlcv_data("X", minute_bars(rows=3), "test", "minute")
    with pytest.raises(VersionGoneError):
        DuckDBDataStorage(storage.path).read_bars(pin)
    assert len(storage.get_historical_prices("X")) == 3


def test_deleting_what_is_not_there_deletes_nothing(storage: DuckDBDataStorage) -> None:
    assert storage.delete_series("X") == 0
    storage.store_ohlcv_data("Y", minute_bars(), "test", "minute")
    assert storage.delete_series("X") == 0


def test_a_reader_sees_its_pin_while_another_thread_restates(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=200)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    pin = storage.pin("X")
    done = threading.Event()
    failures: list[BaseException] = []

    def restate() -> None:
        try:
            for step in range(20):
                changed = frame.copy()
                changed["close"] += step + 1.0
                storage.store_ohlcv_data("X", changed, "test", "minute")
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=restate)
    thread.start()
    reads = 0
    while not done.is_set() or reads == 0:
        assert_same(DuckDBDataStorage(storage.path, cache_bytes=0).read_pandas(pin), frame)
        reads += 1
    thread.join()
    assert not failures
    assert storage.get_historical_prices("X")["close"].iloc[0] == frame["close"].iloc[0] + 20


def test_a_replacement_reaches_to_the_last_second_of_its_range(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=3)
    first, last = (int(frame.index[row].timestamp()) for row in (0, -1))
    storage.store_ohlcv_data("X", frame, "test", "minute")
    storage.store_ohlcv_data("X", frame.iloc[:1], "test", "minute", covered=TimeRange(first, last + 1), replace=True)
    assert storage.facts(storage.pin("X")).rows == 1
