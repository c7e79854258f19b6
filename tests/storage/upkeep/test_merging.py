"""Merging: in any order, twice, interrupted and beside writers, and never a FILE that is damaged."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, TimeRange
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    UpkeepRefusedError,
)
from processes import FORKED
from storage.frames import assert_same, index_of, minute_bars

FRAME = minute_bars(rows=60)
OPTION = AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.0, right="CALL")
CHAIN = {"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}
_FILLED: list[bytes] = []  # the file, once it was made
LISTED = dt.datetime(2024, 1, 3, tzinfo=dt.timezone.utc)


def at(hour: int) -> dt.datetime:
    return dt.datetime(2024, 2, 1, hour, tzinfo=dt.timezone.utc)


def observable(storage: DuckDBDataStorage) -> dict[str, Any]:
    """Return everything that the interface shows of a store, without the order of its writes."""
    found: dict[str, Any] = {}
    for info in storage.list_series():
        pin = storage.pin(info.key)
        frame, outline = storage.read_pandas(pin), storage.outline(pin)
        writes = (*storage.ingests(pin), *storage.empty_answers(pin))
        found[info.key.label()] = (
            frame.to_json(double_precision=15),
            list(frame.columns),
            [str(dtype) for dtype in frame.dtypes],
            str(frame.index.dtype),
            storage.facts(pin),
            info.coverage,
            info.provisional,
            (outline.rows, outline.days.first.tolist(), outline.days.bars.tolist()),
            sorted(str(write.metadata) for write in writes if write.metadata),
        )
    for symbol in ("A", "B", "C", "SPY"):
        for kind in ("split", "dividend"):
            found[f"{kind} of {symbol}"] = storage.corporate_actions(symbol, "test", kind)
        chain = storage.option_chain(symbol, "test", dt.date(2022, 1, 1), dt.date(2025, 1, 1))
        found[f"chain of {symbol}"] = chain and (chain.chain, chain.as_of, chain.listed_at)
    return found


def digest(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir() if f.suffix != ".lock"}


def put(storage: DuckDBDataStorage, asset: Any, frame: pd.DataFrame, **more: Any) -> None:
    storage.store_ohlcv_data(asset, frame, "test", "minute", **more)


def make(path: Path) -> DuckDBDataStorage:
    path.parent.mkdir(exist_ok=True, parents=True)
    return DuckDBDataStorage(path)


def filled(path: Path) -> DuckDBDataStorage:
    """Return a store with all that there is to merge."""
    storage = make(path)
    if _FILLED:
        path.write_bytes(_FILLED[0])
        return storage
    put(storage, "A", FRAME.assign(vwap=1.25), metadata={"note": 1}, asked_at=at(1))
    put(storage, OPTION, FRAME[:7])
    put(storage, "BTC/USD", FRAME)
    put(storage, "C", FRAME, adjustment="split")
    storage.record_coverage("B", TimeRange(1704153600, 1704240000), "test", "minute")
    storage.record_corporate_actions("C", [CorporateAction(dt.date(2023, 1, 2), 1, 2)], "test", checked_at=at(2))
    storage.record_corporate_actions("C", [], "test", "dividend", checked_at=at(2))
    storage.store_option_chain("SPY", CHAIN, "test", dt.date(2024, 1, 3), listed_at=LISTED)
    storage.label("A", "sector", "x")
    storage.close()
    _FILLED.append(path.read_bytes())
    return storage


def copies(storage: DuckDBDataStorage, folder: Path) -> DuckDBDataStorage:
    storage.close()
    folder.mkdir()
    shutil.copy(storage.path, folder / storage.path.name)
    return DuckDBDataStorage(folder / storage.path.name)


@pytest.mark.older_duckdb
def test_an_empty_store_becomes_equal(tmp_path: Path) -> None:
    other, storage = filled(tmp_path / "other" / "o.duckdb"), make(tmp_path / "s.duckdb")
    before = digest(other.path.parent)
    planned = storage.merge(other.path, dry_run=True)
    assert not storage.path.exists()
    counted: list[tuple[int, int]] = []
    report = storage.merge(other.path, on_rows=lambda done, total: counted.append((done, total)))
    assert (report.series, report.series_added, report.bars_added, report.conflicts) == (5, 5, 187, 0)
    assert (report.actions, report.option_chains, report.left_out) == (1, 1, [])
    assert (planned.series_added, planned.bars_added, planned.actions, planned.option_chains) == (5, 187, 1, 1)
    assert counted == sorted(counted)
    assert counted[-1] == (374, 374)
    assert digest(other.path.parent) == before
    assert observable(storage) == observable(other)
    assert storage.verify().findings == []
    again = storage.merge(other.path)
    assert (again.series_added, again.series_changed, again.bars_added, again.actions, again.option_chains) == (0,) * 5
    assert storage.statistics().rows == 187


@st.composite
def contents(draw: st.DrawFn) -> list[tuple[str, pd.DataFrame, int, list[int]]]:
    """Return writes: a symbol, bars with few times and values, when they were requested, and what they cover."""
    writes = []
    for _ in range(draw(st.integers(1, 4))):
        times = sorted(draw(st.sets(st.integers(0, 6), min_size=1)))
        columns: dict[str, Any] = {"close": [draw(st.sampled_from([1.0, 2.0, -0.0, 0.0, float("nan")])) for _ in times]}
        for name, kind in (("volume", "int64"), ("volume", "float64"), ("note", "object"), ("flag", "bool")):
            if draw(st.booleans()):
                columns[name] = pd.array([draw(st.integers(0, 1)) for _ in times]).astype(kind)
        if "note" in columns:
            columns["note"] = [str(value) for value in columns["note"]]
        order = draw(st.permutations(list(columns)))
        frame = pd.DataFrame({name: columns[name] for name in order}, index=index_of([60 * time for time in times]))
        covered = sorted(draw(st.sets(st.integers(0, 9), min_size=2, max_size=2)))
        writes.append((draw(st.sampled_from("AB")), frame, draw(st.integers(0, 3)), covered))
    return writes


def stored(path: Path, writes: list[tuple[str, pd.DataFrame, int, list[int]]]) -> DuckDBDataStorage:
    storage = make(path)
    for symbol, frame, hour, (start, end) in writes:
        covered = TimeRange(60 * start, 60 * end)
        put(storage, symbol, frame, asked_at=at(hour), covered=covered, provisional=[covered] if hour % 2 else None)
    storage.close()
    return storage


@examples(6)
@given(one=contents(), other=contents())
@pytest.mark.long
def test_the_order_of_merging_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, one: list[Any], other: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("stores")
    first, second = stored(folder / "1.duckdb", one), stored(folder / "2.duckdb", other)
    left = copies(first, folder / "left")
    left.merge(second.path)
    right = copies(second, folder / "right")
    right.merge(first.path)
    merged = observable(left)
    assert merged == observable(right)
    for storage, source in ((left, second), (right, left)):
        report = storage.merge(source.path)
        assert (report.series_added, report.series_changed) == (0, 0)
        assert observable(storage) == merged
    assert left.verify().sound
    assert right.verify().sound


@pytest.mark.older_duckdb
def test_the_bar_that_was_requested_later_is_kept(tmp_path: Path) -> None:
    storage, other = make(tmp_path / "s.duckdb"), make(tmp_path / "o.duckdb")
    put(storage, "A", FRAME[:40], asked_at=at(2))
    put(other, "A", FRAME[:20] + 1, asked_at=at(1))
    put(other, "A", FRAME[20:30] + 1, asked_at=at(3))
    put(other, "A", FRAME[30:40] + 1, asked_at=at(2))
    before = storage.pin("A")
    with pytest.raises(UpkeepRefusedError, match=r"40 bars have other values .* 14:30:00 UTC: close is 100.01 here"):
        storage.merge(other.path, refuse_conflicts=True)
    report = storage.merge(other.path)
    assert (report.conflicts, report.bars_changed, report.bars_added) == (40, 20, 0)
    assert (report.examples[0].column, report.examples[0].here, report.examples[0].there) == ("close", 100.01, 101.01)
    assert_same(storage.get_historical_prices("A"), pd.concat([FRAME[:20], FRAME[20:40] + 1]))
    assert_same(storage.read_pandas(before), FRAME[:40])
    assert storage.merge(other.path, refuse_conflicts=False).bars_changed == 0


@pytest.mark.older_duckdb
def test_a_restatement_in_either_store_counts(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1.duckdb"), make(tmp_path / "2.duckdb")
    for storage in (one, two):
        put(storage, "A", FRAME[:40])
    put(two, "A", FRAME[40:] * 3)
    one.restate_series("A", "test", "minute")
    put(one, "A", FRAME[:50] * 2)
    left, right = copies(one, tmp_path / "left"), copies(two, tmp_path / "right")
    assert "in this store after" in left.merge(two.path).left_out[0][1]
    assert "in the other one" in right.merge(one.path).left_out[0][1]
    third = make(tmp_path / "third.duckdb")
    third.merge(one.path)
    third.merge(two.path)
    for storage in (left, right, third):
        assert_same(storage.get_historical_prices("A"), FRAME[:50] * 2)
        assert storage.verify().sound
    assert right.merge(one.path).left_out == []
    assert "after it was requested" in right.merge(two.path).left_out[0][1]


def test_adjusted_bars_from_before_a_split_are_left_out(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1.duckdb"), make(tmp_path / "2.duckdb")
    for storage, factor, splits in ((one, 2.0, 0), (two, 1.0, 1)):
        for adjustment in ("", "split"):
            put(storage, "A", FRAME * (factor if adjustment else 1.0), adjustment=adjustment)
        actions = [CorporateAction(dt.date(2024, 1, 3), 1, 2)] * splits
        storage.record_corporate_actions("A", actions, "test", checked_at=at(splits))
    left, right = copies(one, tmp_path / "left"), copies(two, tmp_path / "right")
    for storage, source in ((left, two), (right, one)):
        assert len(storage.merge(source.path).left_out) == 1
        assert_same(storage.get_historical_prices("A", adjustment="split"), FRAME * 1.0)
        known = storage.corporate_actions("A", "test")
        assert known is not None
        assert len(known.actions) == 1


def test_columns_that_do_not_fit_leave_out_the_series(tmp_path: Path) -> None:
    storage, other = make(tmp_path / "s.duckdb"), make(tmp_path / "o.duckdb")
    put(storage, "A", FRAME.assign(note="x"))
    put(other, "A", FRAME.assign(note=1))
    put(other, "B", FRAME)
    report = storage.merge(other.path)
    assert [(key.asset.symbol, "note" in reason) for key, reason in report.left_out] == [("A", True)]
    assert report.series_added == 1


@pytest.mark.older_duckdb
def test_long_series_are_merged_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("series_union", "other_store"):
        monkeypatch.setattr(f"lumibot_duckdb.storage.upkeep.{module}._ROWS_AT_A_TIME", 1_000)
    frame = minute_bars("2022-01-03 09:30", rows=12_000)
    storage, other = make(tmp_path / "s.duckdb"), make(tmp_path / "o.duckdb")
    put(storage, "BTC/USD", frame[:7_000], asked_at=at(1))
    put(other, "BTC/USD", frame[6_000:], asked_at=at(2))
    assert storage.merge(other.path).bars_added == 5_000
    put(other, "BTC/USD", frame[::3] * 2, asked_at=at(3))
    assert storage.merge(other.path).bars_changed == 4_000
    assert storage.verify().sound
    expected = frame.copy()
    expected.iloc[::3] = expected.iloc[::3] * 2
    assert_same(storage.get_historical_prices("BTC/USD"), expected)


class _InterruptedError(Exception):
    pass


def test_an_interrupted_merge_can_be_repeated(tmp_path: Path) -> None:
    other = filled(tmp_path / "o.duckdb")
    expected = observable(other)
    for stop_at in (0, 300):
        storage = make(tmp_path / f"{stop_at}" / "s.duckdb")

        def stop(done: int, total: int, last: int = stop_at) -> None:
            if done > last:
                raise _InterruptedError

        with pytest.raises(_InterruptedError):
            storage.merge(other.path, on_rows=stop)
        storage.merge(other.path)
        assert observable(storage) == expected


def _write(path: Path, symbols: str) -> None:
    storage = DuckDBDataStorage(path)
    for symbol in symbols:
        put(storage, symbol, FRAME[30:])
    storage.close()


def test_writes_of_other_processes_meanwhile(tmp_path: Path) -> None:
    other, storage = make(tmp_path / "o.duckdb"), make(tmp_path / "s.duckdb")
    for symbol in "ABCDEFGH":
        put(other, symbol, FRAME[:30])
    put(storage, "H", FRAME[40:])
    storage.close()
    writers = [FORKED.Process(target=_write, args=(storage.path, symbols)) for symbols in ("ACEG", "HFDB")]
    for writer in writers:
        writer.start()
    storage.merge(other.path)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    for symbol in "ABCDEFGH":
        assert_same(storage.get_historical_prices(symbol), FRAME)
    assert storage.verify().sound


@pytest.mark.older_duckdb
@pytest.mark.parametrize("schema", range(1, migrations.newest()))
def test_an_older_store_is_merged_and_not_upgraded(tmp_path: Path, schema: int) -> None:
    other = filled(tmp_path / "other" / "o.duckdb")
    with StoreConnection.of(other.path).write() as cursor:
        gone = {2: ("corporate_action", "corporate_action_check", "option_chain", "option_chain_strikes")}
        gone |= {
            3: ("migrated_file",),
            4: ("ingest_request",),
            5: ("outline", "repeated_bar"),
            6: ("snapshot", "setting"),
            9: ("asset_label",),
        }
        for number, tables in gone.items():
            for table in tables if number > schema else ():
                cursor.execute("DROP VIEW IF EXISTS {db}.asset_labels")
                cursor.execute(f"DROP TABLE {{db}}.{table}")
        if schema == 8:
            cursor.execute(
                "CREATE TABLE {db}.asset_label (asset_id INT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL)"
            )
        cursor.execute("UPDATE {db}.store_meta SET value = ? WHERE key = 'schema_version'", [str(schema)])
    other.close()
    before = digest(other.path.parent)
    storage = make(tmp_path / "s.duckdb")
    assert storage.merge(other.path).series_added == 5
    assert digest(other.path.parent) == before
    assert_same(storage.get_historical_prices("A"), FRAME.assign(vwap=1.25))
    assert (storage.corporate_actions("C", "test") is not None) == (schema >= 2)
    assert storage.labels().empty


def test_files_that_are_refused(tmp_path: Path) -> None:
    other, storage = filled(tmp_path / "o.duckdb"), filled(tmp_path / "s.duckdb")
    before = observable(storage)
    link = tmp_path / "link.duckdb"
    link.symlink_to(storage.path)
    hard = tmp_path / "hard.duckdb"
    hard.hardlink_to(storage.path)
    text, empty, foreign, newer = (tmp_path / f"{name}.duckdb" for name in ("text", "empty", "foreign", "newer"))
    text.write_text("close\n1\n" * 5_000)
    empty.touch()
    with duckdb.connect(str(foreign)) as connection:
        connection.execute("CREATE TABLE bar (i INTEGER)")
    shutil.copy(other.path, newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("UPDATE store_meta SET value = '99' WHERE key = 'schema_version'")
    unfinished = tmp_path / "unfinished.duckdb"
    shutil.copy(other.path, unfinished)
    unfinished.with_name("unfinished.duckdb.guard").touch()
    for path, error in (
        (unfinished, StoreDamagedError),
        (storage.path, UpkeepRefusedError),
        (link, UpkeepRefusedError),
        (hard, UpkeepRefusedError),
        (tmp_path, StoreNotFoundError),
        (tmp_path / "none.duckdb", StoreNotFoundError),
        (text, StoreDamagedError),
        (empty, StoreDamagedError),
        (foreign, StoreDamagedError),
        (newer, StoreVersionError),
    ):
        with pytest.raises(error):
            storage.merge(path)
    assert observable(storage) == before


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO bar SELECT * FROM bar LIMIT 1",
        "DELETE FROM bar WHERE ts = (SELECT min(ts) FROM bar)",
        "UPDATE bar SET ingest_id = 999 WHERE ts = (SELECT min(ts) FROM bar)",
        "UPDATE bar SET close = close + 1 WHERE ts = (SELECT min(ts) FROM bar)",
        "UPDATE bar_checksum SET columns = 'ts'",
        "UPDATE series SET source = 'No Source'",
        "UPDATE series SET timeframe = '1m'",
        "UPDATE series SET current_version = 999",
        "UPDATE asset SET symbol = 'x; DROP TABLE bar' WHERE symbol = 'A'",
        """UPDATE layout SET definition = replace(definition, '"close","bits"', '"x\\" FROM bar","bits"')""",
        """UPDATE layout SET definition = replace(definition, 'float64', 'float63')""",
        "UPDATE layout SET definition = '{'",
        "UPDATE ingest SET metadata = '[1]'",
        "UPDATE corporate_action SET split_to = 'inf'::DOUBLE",
        "UPDATE option_chain SET asset_symbol = ' '",
        "UPDATE asset_label SET name = 'Sector'",
        "UPDATE asset_label SET value = ' '",
        "INSERT INTO asset_label SELECT * FROM asset_label",
        "UPDATE option_chain_strikes SET strikes = '[465.0,'",
        "UPDATE coverage SET range_end = TIMESTAMP '2100-01-01'",
        "ALTER TABLE bar ALTER close TYPE VARCHAR",
        "DROP TABLE ingest_request",
        "DROP VIEW ohlcv_data; ALTER TABLE bar RENAME TO bar2; CREATE VIEW bar AS FROM bar2",
    ],
)
def test_a_store_with_junk_is_refused_as_a_whole(tmp_path: Path, change: str) -> None:
    other, storage = filled(tmp_path / "o.duckdb"), make(tmp_path / "s.duckdb")
    with duckdb.connect(str(other.path)) as connection:
        connection.execute(change)
    with pytest.raises(StoreDamagedError, match=r"o\.duckdb is damaged: (?s:.*)Merge an intact copy"):
        storage.merge(other.path)
    assert not storage.path.exists()


def test_damaged_blocks_are_found_before_anything_is_written(tmp_path: Path) -> None:
    other = make(tmp_path / "o.duckdb")
    put(other, "A", FRAME)
    put(other, "Z", minute_bars("2020-01-02", rows=60_000))
    other.close()
    intact = other.path.read_bytes()
    found = 0
    for seed in range(6):
        chance = random.Random(seed)
        content = bytearray(intact)
        content[chance.randrange(3 * 4096, len(content))] ^= 0xFF
        other.path.write_bytes(content)
        storage = make(tmp_path / f"{seed}" / "s.duckdb")
        try:
            storage.merge(other.path)
        except StoreDamagedError:
            found += 1
            assert not storage.path.exists()
        else:
            assert_same(storage.get_historical_prices("A"), FRAME)
    assert found


def test_a_store_that_another_program_writes_to_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, storage = filled(tmp_path / "o.duckdb"), make(tmp_path / "s.duckdb")
    monkeypatch.setattr("lumibot_duckdb.storage.upkeep.other_store._WAIT_SECONDS", 0.1)
    from lumibot_duckdb.storage.connection.lock import StoreLock

    lock = StoreLock(other.path)
    lock.acquire(True, 2**40)
    try:
        with pytest.raises(StoreBusyError):
            storage.merge(other.path)
    finally:
        lock.close()
    assert storage.merge(other.path).series_added == 5
