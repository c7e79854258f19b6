"""A batch is stored in one transaction, or spooled; a part that is refused does not keep the rest from being stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, BatchWrite, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    InvalidBarsError,
    StoreBusyError,
    StoreDamagedError,
)
from storage.frames import assert_same, minute_bars

FRAME = minute_bars(rows=40)
BEGIN = int(FRAME.index[0].timestamp())
WHOLE = TimeRange(BEGIN, BEGIN + 40 * 60)
ASKED = dt.datetime(2024, 1, 3, tzinfo=dt.timezone.utc)


def key_of(symbol: str) -> SeriesKey:
    return SeriesKey(AssetKey(symbol), "test", "minute")


def write(symbol: str, bars: Any = FRAME, covered: tuple[TimeRange, ...] = (WHOLE,), **arguments: Any) -> BatchWrite:
    return BatchWrite(key_of(symbol), bars, covered, **{"asked_at": ASKED, **arguments})


@contextmanager
def locked(storage: DuckDBDataStorage) -> Iterator[None]:
    """Hold the store as another process does."""
    storage.close()
    lock = StoreLock(storage.path)
    lock.acquire(True, float("inf"))
    try:
        yield
    finally:
        lock.close()


def contents(storage: DuckDBDataStorage) -> list[Any]:
    """Everything about the series that a batch can change, but not in which order they were written."""
    found = []
    for info in sorted(storage.list_series(), key=lambda info: info.key.label()):
        pin = storage.pin(info.key)
        writes = [(ingest.kind, dict(ingest.metadata)) for ingest in storage.ingests(pin)]
        found.append((info.key, storage.facts(pin), info.coverage, [each.within for each in info.provisional], writes))
    return found


BATCH = [
    write("A", FRAME.iloc[20:].assign(volume=7), metadata={"n": 1}),
    write("B", covered=(TimeRange(WHOLE.start, WHOLE.start + 600), TimeRange(WHOLE.end, WHOLE.end + 600))),
    write("C", FRAME.iloc[10:20], (WHOLE,), replace=True),
    write("D", FRAME.iloc[:0], provisional=(WHOLE,)),
    write("E", covered=()),
]


def begin(storage: DuckDBDataStorage) -> None:
    for symbol in ("A", "C"):
        storage.store_ohlcv_data(symbol, FRAME, "test", "minute", asked_at=ASKED)


def store_one_by_one(storage: DuckDBDataStorage) -> None:
    for each in BATCH:
        first, *others = each.covered or (TimeRange(0, 0),)
        storage.store_ohlcv_data(
            *(each.key.asset, each.bars, "test", "minute"),
            covered=first,
            also_covered=others,
            provisional=each.provisional,
            replace=each.replace,
            metadata=each.metadata,
            asked_at=each.asked_at,
        )


@pytest.mark.older_duckdb
@pytest.mark.parametrize("spooled", [False, True])
def test_it_does_what_single_writes_do(storage: DuckDBDataStorage, tmp_path: Path, spooled: bool) -> None:
    with DuckDBDataStorage(tmp_path / "single.duckdb") as single:
        begin(single)
        store_one_by_one(single)
        begin(storage)
        if spooled:
            with locked(storage):
                outcomes = storage.store_batch(BATCH)
            assert all(each.is_spooled and isinstance(each.error, StoreBusyError) for each in outcomes)
            assert [each.result.spooled for each in outcomes if each.result] == [20, 40, 10, 0, 40]
            assert storage.merge_spooled() == len(BATCH)
        else:
            outcomes = storage.store_batch(BATCH)
            assert all(each.is_stored for each in outcomes)
            results = [each.result for each in outcomes if each.result]
            assert [(each.added, each.changed, each.removed) for each in results] == [
                *((0, 20, 0), (40, 0, 0), (0, 0, 30), (0, 0, 0), (40, 0, 0))
            ]
        assert contents(storage) == contents(single)
        for info in single.list_series():
            assert_same(storage.read_pandas(storage.pin(info.key)), single.read_pandas(single.pin(info.key)))
        assert storage.verify().sound


@pytest.mark.parametrize("spooled", [False, True])
def test_bars_are_covered_that_had_closed_at_the_last_response(storage: DuckDBDataStorage, spooled: bool) -> None:
    first = dt.datetime.fromtimestamp(BEGIN + 20 * 60 + 5, dt.timezone.utc)
    last = first + dt.timedelta(minutes=10)
    batch = [write("A", asked_at=first, closed_at=last), write("B", asked_at=first)]
    if spooled:
        with locked(storage):
            storage.store_batch(batch)
        storage.merge_spooled()
    else:
        storage.store_batch(batch)
    assert storage.coverage("A") == [TimeRange(BEGIN, BEGIN + 30 * 60)]
    assert storage.coverage("B") == [TimeRange(BEGIN, BEGIN + 20 * 60)]


def test_what_is_refused_does_not_keep_the_rest_from_being_stored(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("TEXT", FRAME.assign(note="x"), "test", "minute")
    storage.store_ohlcv_data("SPLIT", FRAME, "test", "minute", asked_at=ASKED)
    storage.restate_series("SPLIT", "test", "minute")
    later = minute_bars("2024-01-03 09:30", rows=5)
    batch = [
        write("GOOD", FRAME),
        write("NAIVE", FRAME.tz_localize(None)),
        write("TEXT", later.assign(note=1.5)),  # the column holds texts
        write("SPLIT", later),
        write("NO JSON", metadata={"when": ASKED}),
        write("NAIVE MOMENT", asked_at=dt.datetime(2024, 1, 3)),
        write("TWO", FRAME, (WHOLE, TimeRange(WHOLE.end + 60, WHOLE.end + 120)), replace=True),
        write("LAST", later),
    ]
    outcomes = {each.key.asset.symbol: outcome for each, outcome in zip(batch, storage.store_batch(batch), strict=True)}
    assert [name for name, each in outcomes.items() if each.is_stored] == ["GOOD", "LAST"]
    assert not any(each.is_spooled for each in outcomes.values())
    errors = {name: str(each.error) for name, each in outcomes.items() if each.error}
    assert isinstance(outcomes["SPLIT"].error, HistoryRestatedError)
    assert "has been restated" in errors["SPLIT"]
    for name, words in {
        "NAIVE": "the times have no time zone",
        "TEXT": "'note'",
        "NO JSON": "cannot be written as JSON",
        "NAIVE MOMENT": "has no time zone",
        "TWO": "2 ranges are to be replaced",
    }.items():
        assert isinstance(outcomes[name].error, InvalidBarsError)
        assert words in errors[name]
        assert name in errors[name]
    symbols = sorted(info.key.asset.symbol for info in storage.list_series())
    assert symbols == ["GOOD", "LAST", "SPLIT", "TEXT"]
    assert len(storage.get_historical_prices("TEXT")) == len(FRAME)
    assert not Spool(storage.path).folder.exists()


def test_two_writes_to_a_series_are_refused_before_anything_is_stored(storage: DuckDBDataStorage) -> None:
    with pytest.raises(ValueError, match=r"A stock, minute bars from test is twice in a batch"):
        storage.store_batch([write("B"), write("A"), write("A")])
    assert not storage.path.exists()
    assert storage.store_batch([]) == []


def test_an_error_that_nobody_expects_spools_the_batch(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.store_batch([write("A")])
    with monkeypatch.context() as patched:
        patched.setattr("lumibot_duckdb.storage.bars.writing.insert_bars", lambda *_: 1 / 0)
        (outcome,) = storage.store_batch([write("B")])
    assert outcome.is_spooled
    assert isinstance(outcome.error, ZeroDivisionError)
    assert storage.merge_spooled() == 1
    assert_same(storage.get_historical_prices("B"), FRAME)


def test_a_damaged_store_keeps_the_batch_beside_it(storage: DuckDBDataStorage) -> None:
    storage.path.parent.mkdir(exist_ok=True)
    storage.path.write_bytes(b"no store" * 10_000)
    (outcome,) = storage.store_batch([write("A")])
    assert isinstance(outcome.error, StoreDamagedError)
    assert outcome.is_spooled
    storage.path.unlink()
    assert storage.merge_spooled() == 1
    assert_same(storage.get_historical_prices("A"), FRAME)


def test_a_write_that_can_be_neither_stored_nor_spooled_says_so(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "keep", no_space)
    with locked(storage):
        (outcome,) = storage.store_batch([write("A")])
    assert isinstance(outcome.error, StoreBusyError)
    assert not outcome.is_stored
    assert not outcome.is_spooled
    assert "could not be kept" in str(outcome.error)
    assert "No space left on device" in str(outcome.error)


def test_a_replica_is_not_written_and_nothing_is_spooled_beside_it(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    storage.store_batch([write("A")])
    storage.replica(tmp_path / "replica.duckdb")
    with DuckDBDataStorage(tmp_path / "replica.duckdb") as replica:
        (outcome,) = replica.store_batch([write("B")])
    assert outcome.result is None
    assert "replica" in str(outcome.error)
    assert not Spool(tmp_path / "replica.duckdb").folder.exists()


def test_a_folder_that_cannot_be_made_is_an_error_of_each_write(tmp_path: Path) -> None:
    with DuckDBDataStorage(tmp_path / "folder" / "s.duckdb") as nowhere:
        (tmp_path / "folder").write_text("")
        outcomes = nowhere.store_batch([write("A"), write("B")])
    assert [outcome.result for outcome in outcomes] == [None, None]
    assert all(isinstance(outcome.error, OSError) for outcome in outcomes)
