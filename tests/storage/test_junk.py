"""Junk in arguments, in the files beside the store and in its tables raises errors of ours with advice, or none."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, TimeRange
from lumibot_duckdb.storage.connection.checkpoint_guard import CheckpointGuard
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import InvalidBarsError, InvalidRecordError, StorageError
from storage.frames import assert_same, minute_bars
from storage.new_process import opened_anew
from templates import template

FRAME = minute_bars()
HALF = "\ud800"
DAY = dt.date(2024, 1, 2)
CHAIN = {"Multiplier": 100, "Chains": {"CALL": {"2024-01-19": [465.0]}}}


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"deeper": found}
    return found


@template
def with_a_chain(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", FRAME, "test", "minute", metadata={"a": 1})
    storage.store_option_chain("X", CHAIN, "test", DAY)


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    with_a_chain(storage.path)
    return storage


# -- arguments -----------------------------------------------------------------------------------------------

BAD_WRITES: dict[str, dict[str, Any]] = {
    "half a pair in a symbol": {"asset": AssetKey(HALF)},
    "half a pair in a quote": {"asset": AssetKey("X", "crypto", HALF)},
    "half a pair in an exchange": {"exchange": HALF},
    "half a pair in an adjustment": {"adjustment": HALF},
    "an adjustment that is no text": {"adjustment": 7},
    "half a pair in a source": {"source": f"a{HALF}"},
    "half a pair in a column name": {"data": FRAME.assign(**{f"a{HALF}": 1.0})},
    "half a pair in a text": {"data": FRAME.assign(note=["fine"] * 59 + [HALF])},
    "half a pair in a string column": {
        "data": FRAME.assign(note=["fine"] * 59 + [HALF]).astype({"note": "string[python]"})
    },
    "deep metadata": {"metadata": nested(100_000)},
    "metadata in a circle": {"metadata": (lambda circle: circle.update(circle=circle) or circle)({})},
    "metadata that is a list": {"metadata": [1, 2]},
    "metadata that is a text": {"metadata": "text"},
    "a tuple for covered": {"covered": (1_704_150_000, 1_704_240_000)},
    "dates for covered": {"covered": (DAY, DAY)},
    "texts in covered": {"covered": TimeRange("2024-01-02", "2024-01-03")},  # type: ignore[arg-type]
    "fractions in covered": {"covered": TimeRange(1.5, 2.5)},  # type: ignore[arg-type]
    "a range in also_covered": {"also_covered": [range(5)]},
    "a text for asked_at": {"asked_at": "2024-01-02"},
    "a date for asked_at": {"asked_at": DAY},
    "a timeframe without end": {"timeframe": "999999day"},
}


@pytest.mark.parametrize("name", BAD_WRITES)
def test_a_write_that_cannot_be_is_refused_with_its_reason(storage: DuckDBDataStorage, name: str) -> None:
    usual = {"asset": "X", "data": FRAME, "source": "test", "timeframe": "minute"}
    with pytest.raises(InvalidBarsError) as refused:
        storage.store_ohlcv_data(**{**usual, **BAD_WRITES[name]})
    assert len(str(refused.value)) < 1_000
    str(refused.value).encode()  # it can be printed
    assert storage.list_series() == []


@pytest.mark.parametrize("covered", [(1, 2), "2024-01-02", None, TimeRange(0.5, 1.5)])  # type: ignore[arg-type]
def test_an_empty_answer_for_no_range_is_refused(storage: DuckDBDataStorage, covered: Any) -> None:
    with pytest.raises(InvalidBarsError, match=r"TimeRange|whole numbers"):
        storage.record_coverage("X", covered, "test", "minute")
    assert storage.list_series() == []


@pytest.mark.parametrize(
    "chain",
    [
        {"Chains": {HALF: {"2024-01-19": [1.0]}}},
        {"Chains": {"CALL": {HALF: [1.0]}}},
        {"Chains": {}, "more": nested(100_000)},
        {"Chains": {"CALL": {"2024-01-19": nested(100_000)}}},
        {"Chains": []},
        [],
    ],
)
def test_a_chain_that_cannot_be_stored_is_refused(storage: DuckDBDataStorage, chain: Any) -> None:
    with pytest.raises(InvalidRecordError):
        storage.store_option_chain("X", chain, "test", DAY)
    assert not storage.path.exists()


def test_metadata_of_any_text_comes_back(storage: DuckDBDataStorage) -> None:
    metadata = {"half": HALF, "nested": nested(50), HALF: 1}
    storage.store_ohlcv_data("X", FRAME, "test", "minute", metadata=metadata)
    (write,) = storage.ingests(storage.pin("X"))
    assert write.metadata == metadata


def test_a_path_of_any_bytes_is_remembered(filled: DuckDBDataStorage) -> None:
    path = os.fsdecode(b"/cache/\xff\xfe.pickle")
    filled.migrated_files.remember(path, "fingerprint", 3, [1])
    assert filled.migrated_files.rows(path, "fingerprint") == 3


# -- files beside the store ----------------------------------------------------------------------------------


def signed(plan: Any, rest: bytes = b"") -> bytes:
    """Return a guard whose digest is right."""
    return json.dumps({**plan, "sha256": hashlib.sha256(rest).hexdigest()}).encode() + b"\n" + rest


GUARDS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"junk\n\x00\xff",
    "no object": b"[]\n",
    "another object": b"{}\n",
    "a number": b"7\n",
    "nested": b"[" * 200_000 + b"\n",
    "no blocks": signed({"block_size": 65_536}),
    "texts for numbers": signed({"block_size": "x", "blocks": ["y"]}),
    "null for numbers": signed({"block_size": None, "blocks": None}),
    "fewer bytes than it says": signed({"block_size": 65_536, "blocks": [1, 2]}, bytes(100)),
    "a negative block": signed({"start": 0, "block_size": 10, "blocks": [-5]}, bytes(12_298)),
    "a huge block": signed({"start": 0, "block_size": 10, "blocks": [2**70]}, bytes(12_298)),
    "headers of another file": signed({"start": 0, "block_size": 10, "blocks": [0]}, bytes(12_298)),
}


@pytest.mark.parametrize("name", GUARDS)
def test_junk_in_the_guard_harms_nothing(filled: DuckDBDataStorage, name: str) -> None:
    guard = CheckpointGuard(filled.path)
    guard.path.write_bytes(GUARDS[name])
    assert_same(filled.get_historical_prices("X"), FRAME)
    filled.store_ohlcv_data("Y", FRAME, "test", "minute")
    filled.close()
    assert not guard.exists()
    assert filled.verify().findings == []


def test_the_guard_of_another_store_is_never_applied(tmp_path: Path) -> None:
    """Stores that were made in the same way differ in the first header only."""
    storages = [DuckDBDataStorage(tmp_path / name) for name in ("one", "other")]
    for number, storage in enumerate(storages):
        storage.store_ohlcv_data("X", FRAME.assign(volume=number), "test", "minute")
        storage.close()
    one, other = (storage.path for storage in storages)
    with StoreConnection.of(one).read() as cursor:
        blocks = [b for (b,) in cursor.rows(f"SELECT block_id FROM pragma_metadata_info('{cursor.db}')")]
    descriptor = os.open(one, os.O_RDONLY)
    CheckpointGuard(one).set(descriptor, 65_536, blocks)
    os.close(descriptor)
    storages[0].close()
    shutil.move(CheckpointGuard(one).path, CheckpointGuard(other).path)
    before = other.read_bytes()
    assert CheckpointGuard(other).restore() is False
    assert other.read_bytes() == before
    assert storages[1].verify().findings == []
    assert (storages[1].get_historical_prices("X")["volume"] == 1).all()


@examples(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.one_of(st.binary(max_size=400), st.integers(0, 400).map(lambda length: b"\xff" * length)))
@example(junk=b"\xff" * 400)
def test_junk_in_the_lock_harms_nothing(filled: DuckDBDataStorage, junk: bytes) -> None:
    lock = filled.path.with_name(filled.path.name + ".lock")
    filled.close()
    lock.write_bytes(junk)
    assert_same(filled.get_historical_prices("X"), FRAME)
    assert StoreConnection.of(filled.path)._lock.holders() != []
    filled.store_ohlcv_data("Y", FRAME.assign(volume=len(junk)), "test", "minute")
    assert (filled.get_historical_prices("Y")["volume"] == len(junk)).all()
    assert StoreConnection.of(filled.path)._lock.holders() != []
    filled.close()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
@pytest.mark.parametrize("suffix", [".lock", ".turn"])
def test_a_lock_that_is_no_file_is_an_error_with_advice(
    filled: DuckDBDataStorage, make: Callable[[str], None], suffix: str
) -> None:
    lock = filled.path.with_name(filled.path.name + suffix)
    lock.unlink(missing_ok=True)
    make(str(lock))
    if (make, suffix) == (os.mkfifo, ".turn"):  # which can be locked, and has no contents
        assert len(filled.list_series()) == 1
        return
    with pytest.raises(StorageError, match=re.escape(str(lock))):
        filled.list_series()


# -- tables --------------------------------------------------------------------------------------------------

JUNK_IN_TABLES = [
    "UPDATE {db}.store_meta SET value = 'junk' WHERE key = 'schema_version'",
    "DELETE FROM {db}.store_meta WHERE key = 'schema_version'",
    "DELETE FROM {db}.store_meta WHERE key = 'store_id'",
    "DELETE FROM {db}.store_meta",
    "UPDATE {db}.layout SET definition = 'junk'",
    "UPDATE {db}.layout SET definition = '{}'",
    "UPDATE {db}.layout SET definition = '[]'",
    'UPDATE {db}.layout SET definition = \'{"index_unit":"ns","columns":[{"x":1}]}\'',
    "UPDATE {db}.layout SET definition = repeat('[', 100000)",
    "DELETE FROM {db}.layout",
    "UPDATE {db}.ingest SET metadata = 'junk'",
    "UPDATE {db}.ingest SET metadata = '7'",
    "UPDATE {db}.ingest SET metadata = repeat('[', 100000)",
    "UPDATE {db}.option_chain SET outline = 'junk'",
    "UPDATE {db}.option_chain SET outline = repeat('[', 100000)",
    "DELETE FROM {db}.option_chain_strikes",
    "UPDATE {db}.ingest SET version_first = NULL, version_last = NULL",
]


@pytest.mark.parametrize("junk", JUNK_IN_TABLES)
def test_junk_in_tables_raises_our_own_errors(filled: DuckDBDataStorage, junk: str) -> None:
    with StoreConnection.of(filled.path).write() as cursor:
        cursor.execute(junk)
    filled.close()
    anew = opened_anew(filled.path)
    uses: list[Callable[[], object]] = [
        anew.list_series,
        lambda: anew.get_historical_prices("X"),
        lambda: anew.ingests(anew.pin("X")),
        lambda: anew.option_chain("X", "test", DAY, DAY),
        lambda: anew.sql("SELECT 1"),
        lambda: anew.store_ohlcv_data("X", FRAME.iloc[:5].assign(volume=7), "test", "minute"),
        anew.compact,
    ]
    refusals = 0
    for use in uses:
        try:
            use()
        except StorageError:
            refusals += 1
    try:
        refusals += not anew.verify().sound
    except StorageError:
        refusals += 1
    assert refusals > 0
