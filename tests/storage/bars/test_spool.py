"""Downloads that could not be written in time are kept beside the store, and the next write merges them."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import spool
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import MOST_BARS, Spool, SpoolContents, SpooledWrite
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import InvalidBarsError, StoreBusyError, StoreWriteError
from storage.frames import assert_same, frame_strategy, minute_bars
from storage.held_store import locked

WHOLE = TimeRange(1_704_150_000, 1_704_240_000)
FRAME = minute_bars(rows=40)
OPTION = AssetKey("SPY", "option", expiration=dt.date(2024, 1, 19), strike=470.5, right="CALL")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    """A store with one series that does not wait for others."""
    connection = StoreConnection.of(tmp_path / "s.duckdb", wait_seconds=0.05)
    storage = DuckDBDataStorage(connection.path)
    storage.store_ohlcv_data("OLD", FRAME, "test", "minute")
    yield storage
    storage.close()


def download(storage: DuckDBDataStorage, asset: Any = "X", frame: pd.DataFrame = FRAME, **arguments: Any) -> Any:
    return storage.store_ohlcv_data(asset, frame, "test", "minute", **{"covered": WHOLE, **arguments})


def keep(storage: DuckDBDataStorage, asset: Any = "X", frame: pd.DataFrame = FRAME, **arguments: Any) -> Path:
    """Download while another process holds the store; return the spool file."""
    storage.close()
    before = set(files(storage))
    with locked(storage.path), pytest.raises(StoreBusyError, match="merges it"):
        download(storage, asset, frame, **arguments)
    (made,) = set(files(storage)) - before
    return made


def files(storage: DuckDBDataStorage) -> list[Path]:
    folder = Spool(storage.path).folder
    return sorted(folder.iterdir()) if folder.exists() else []


def all_there_is(storage: DuckDBDataStorage) -> list[Any]:
    """Everything in which two stores can differ: pins, facts, coverage, metadata."""
    found = []
    for info in storage.list_series():
        pin = storage.pin(info.key)
        writes = [(i.ingest_id, i.kind, dict(i.metadata)) for i in storage.ingests(pin)]
        found.append((pin, storage.facts(pin), info.coverage, writes))
    return found


def in_another_process(script: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], check=True)


HOLDER = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
WRITER = """
import sys
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import CorporateAction
import datetime as dt
storage = DuckDBDataStorage(sys.argv[1])
storage.record_corporate_actions("OTHER", [CorporateAction(dt.date(2024, 1, 1), 1, 2)], "test")
storage.close()
"""


def test_what_another_program_keeps_from_being_written_is_merged_by_another_process(
    store: DuckDBDataStorage, tmp_path: Path
) -> None:
    direct = DuckDBDataStorage(tmp_path / "direct")
    direct.store_ohlcv_data("OLD", FRAME, "test", "minute")
    corrected = FRAME.iloc[5:30].assign(volume=7)
    downloads: list[dict[str, Any]] = [
        {"asset": "X", "frame": FRAME, "metadata": {"request": "a", "n": 1}},
        {"asset": OPTION, "frame": FRAME.assign(note=None, vwap=1.25), "adjustment": "split"},
        {"asset": "OLD", "frame": corrected, "replace": True, "onto": store.pin("OLD").version_id},
        {"asset": "EMPTY", "frame": FRAME.iloc[:0]},
        {"asset": "SESSIONS", "frame": FRAME, "also_covered": [TimeRange(WHOLE.end + 3600, WHOLE.end + 7200)]},
    ]
    store.close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for arguments in downloads:
            with pytest.raises(StoreBusyError, match=rf"process {holder.pid}.*bars .* kept in .*s\.duckdb\.spool"):
                download(store, **arguments)
        assert holder.stdin is not None
        holder.stdin.close()
    assert len(files(store)) == len(downloads)
    # Reading merges nothing, and does not show what is not written yet.
    assert [info.key.asset.symbol for info in store.list_series()] == ["OLD"]
    assert store.missing_ranges("X", WHOLE) == [WHOLE]
    assert len(files(store)) == len(downloads)
    store.close()
    in_another_process(WRITER, store.path)
    assert not Spool(store.path).folder.exists()
    for arguments in downloads:
        download(direct, **arguments)
    assert all_there_is(store) == all_there_is(direct)
    for key in (info.key for info in direct.list_series()):
        assert_same(store.read_pandas(store.pin(key)), direct.read_pandas(direct.pin(key)))
    assert store.verify().findings == []
    direct.close()


@examples(15)
@given(frame=frame_strategy())
def test_any_frame_comes_back_as_it_went_into_the_spool(frame: pd.DataFrame) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        connections = [StoreConnection.of(folder / f"{name}.duckdb", wait_seconds=0) for name in ("direct", "spooled")]
        direct, spooled = (DuckDBDataStorage(connection.path) for connection in connections)
        with locked(spooled.path), pytest.raises(StoreBusyError):
            download(spooled, frame=frame)
        assert spooled.merge_spooled() == 1
        download(direct, frame=frame)
        assert_same(spooled.get_historical_prices("X"), frame)
        assert all_there_is(spooled) == all_there_is(direct)
        again = download(spooled, frame=frame)
        assert (again.ingest_id, again.unchanged) == (None, len(frame))
        direct.close()
        spooled.close()
    finally:
        shutil.rmtree(folder)


def test_a_write_that_does_not_say_what_it_covers_is_not_kept(store: DuckDBDataStorage) -> None:
    store.close()
    with locked(store.path), pytest.raises(StoreBusyError) as failed:
        store.store_ohlcv_data("X", FRAME, "own", "minute")
    assert "kept" not in str(failed.value)
    assert files(store) == []


def test_unusable_metadata_is_refused_and_not_kept(store: DuckDBDataStorage) -> None:
    store.close()
    with locked(store.path), pytest.raises(InvalidBarsError, match="metadata"):
        download(store, metadata={"when": dt.date(2024, 1, 2)})
    assert files(store) == []


def test_the_oldest_is_merged_first_and_before_what_is_being_written(store: DuckDBDataStorage) -> None:
    for volume in range(4):
        keep(store, frame=FRAME.assign(volume=volume), metadata={"n": volume})
    result = download(store, frame=FRAME.assign(volume=9))
    assert (result.changed, result.new_version) == (len(FRAME), True)
    assert (store.get_historical_prices("X")["volume"] == 9).all()
    with StoreConnection.of(store.path).read() as cursor:
        told = cursor.rows("SELECT metadata FROM {db}.ingest WHERE metadata IS NOT NULL ORDER BY ingest_id")
    assert told == [(f'{{"n": {n}}}',) for n in range(4)]
    assert files(store) == []


def test_what_another_process_merged_just_now_is_not_written_over_its_newer_bars(store: DuckDBDataStorage) -> None:
    keep(store)
    other = DuckDBDataStorage(store.path)

    def late(kept: SpooledWrite, file: Path) -> bool:
        download(other, frame=FRAME.assign(volume=9))  # which merges first
        return store._store.merge_file(kept, file)

    assert Spool(store.path).merge(late) == 0
    assert (store.get_historical_prices("X")["volume"] == 9).all()


@pytest.mark.long
def test_a_hundred_downloads_wait_and_are_merged(store: DuckDBDataStorage) -> None:
    for minute in range(100):
        piece = minute_bars(rows=100).iloc[[minute]]
        keep(store, frame=piece, covered=TimeRange(WHOLE.start + 60 * minute, WHOLE.start + 60 * (minute + 1)))
    assert store.statistics().details == {"spooled": SpoolContents(100, 100, 0)}
    assert store.merge_spooled() == 100
    assert_same(store.get_historical_prices("X"), minute_bars(rows=100))
    assert store.coverage("X") == [TimeRange(WHOLE.start, WHOLE.start + 6000)]
    assert store.statistics().details == {}
    assert store.merge_spooled() == 0


def test_a_write_that_cannot_merge_either_is_kept_too(store: DuckDBDataStorage) -> None:
    keep(store, "X")
    keep(store, "Y")
    assert len(files(store)) == 2
    assert store.merge_spooled() == 2


WRITES: dict[str, Callable[[DuckDBDataStorage], Any]] = {
    "store_ohlcv_data": lambda storage: storage.store_ohlcv_data("Y", FRAME, "own", "day"),
    "record_coverage": lambda storage: storage.record_coverage("Y", WHOLE, "test", "minute"),
    "record_corporate_actions": lambda storage: storage.record_corporate_actions("Y", [], "test"),
    "store_option_chain": lambda storage: storage.store_option_chain("Y", {"Chains": {}}, "test", dt.date(2024, 1, 2)),
    "restate_series": lambda storage: storage.restate_series("OLD", "test", "minute"),
    "delete_series": lambda storage: storage.delete_series("OLD"),
    "compact": lambda storage: storage.compact(),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_kind_of_write_merges_first(store: DuckDBDataStorage, write: str) -> None:
    keep(store)
    WRITES[write](store)
    assert files(store) == []
    assert_same(store.get_historical_prices("X"), FRAME)


def test_what_is_deleted_or_restated_does_not_come_back_out_of_the_spool(store: DuckDBDataStorage) -> None:
    keep(store)
    assert store.delete_series("X") == len(FRAME)
    keep(store, "Y")
    store.restate_series("Y", "test", "minute")
    assert store.facts(store.pin("Y")).rows == 0
    assert store.coverage("Y") == []
    assert [info.key.asset.symbol for info in store.list_series()] == ["OLD", "Y"]


def test_bars_of_a_history_that_was_restated_meanwhile_are_dropped(
    store: DuckDBDataStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = download(store).version_id
    late = minute_bars("2024-01-03 09:30")
    file = keep(store, frame=late, onto=version)
    aside = tmp_path / "aside"
    file.rename(aside)  # as if it had been written a moment later
    store.restate_series("X", "test", "minute")
    file.parent.mkdir(exist_ok=True)
    aside.rename(file)
    with caplog.at_level(logging.INFO, "lumibot_duckdb"):
        assert store.merge_spooled() == 0
    assert "restated" in caplog.text
    assert caplog.records[-1].levelno == logging.INFO
    assert files(store) == []
    assert store.facts(store.pin("X")).rows == 0


def test_bars_from_before_a_split_never_lie_in_the_version_after_it(store: DuckDBDataStorage) -> None:
    store.record_corporate_actions("X", [], "test", restates=["split"])
    keep(store, adjustment="split")
    split = CorporateAction(dt.date(2024, 1, 2), 1, 2)
    assert store.record_corporate_actions("X", [split], "test", restates=["split"]) is True
    assert store.facts(store.pin("X")).rows == 0


def test_a_version_of_a_store_that_was_replaced_is_not_that_of_the_new_one(store: DuckDBDataStorage) -> None:
    keep(store, "OLD", FRAME.assign(volume=7), onto=store.pin("OLD").version_id)
    store.path.unlink()
    store.store_ohlcv_data("OLD", FRAME, "test", "minute")
    keep(store, "OLD", FRAME.assign(volume=8), onto=store.pin("OLD").version_id)
    assert store.merge_spooled() == 1
    assert (store.get_historical_prices("OLD")["volume"] == 8).all()


def test_what_had_not_closed_when_it_was_downloaded_is_not_covered_later(
    store: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(dt.datetime.now().timestamp()) // 60 * 60
    around = TimeRange(now - 86_400, now + 86_400)
    keep(store, covered=around)
    keep(store, "EMPTY", FRAME.iloc[:0], covered=around)
    monkeypatch.setattr(clock, "utc_now", lambda: dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=2))
    assert store.merge_spooled() == 2
    (covered,) = store.coverage("X")
    assert covered.start == around.start
    assert abs(covered.end - now) <= 120
    assert store.coverage("EMPTY") == []  # an empty answer about yesterday is believed for a day


def test_what_a_spooled_download_does_not_prove_is_provisional(store: DuckDBDataStorage) -> None:
    rest = TimeRange(WHOLE.end - 600, WHOLE.end)
    keep(store, covered=WHOLE, provisional=[rest])
    keep(store, "ALL", covered=WHOLE)
    assert store.merge_spooled() == 2
    assert store.coverage("X") == store.coverage("ALL", permanent_only=True) == [WHOLE]
    assert store.coverage("X", permanent_only=True) == [TimeRange(WHOLE.start, rest.start)]


# -- what was requested later --------------------------------------------------------------------------------


def late(storage: DuckDBDataStorage, meanwhile: Callable[[], object], frame: pd.DataFrame, **arguments: Any) -> None:
    """Spool a download, do something that does not merge it, and merge it."""
    file = keep(storage, frame=frame, **arguments)
    aside = file.rename(file.parent.parent / "aside")
    meanwhile()
    file.parent.mkdir(exist_ok=True)
    aside.rename(file)
    storage.merge_spooled()
    assert files(storage) == []


def test_bars_that_were_requested_later_stay(store: DuckDBDataStorage) -> None:
    newer = FRAME.iloc[:20].assign(volume=9)
    late(store, lambda: download(store, frame=newer), FRAME.assign(volume=1))
    volumes = store.get_historical_prices("X")["volume"]
    assert volumes.tolist() == [9] * 20 + [1] * 20
    assert store.verify().sound


def test_a_late_replacement_removes_no_bar_that_was_requested_later(store: DuckDBDataStorage) -> None:
    download(store)
    late(store, lambda: download(store, frame=FRAME.iloc[:20].assign(volume=9)), FRAME.iloc[30:], replace=True)
    kept = pd.concat([FRAME.iloc[:20].assign(volume=9), FRAME.iloc[30:]])
    assert_same(store.get_historical_prices("X"), kept)


def test_a_late_download_does_not_bring_back_what_a_later_one_removed(store: DuckDBDataStorage) -> None:
    download(store)
    late(store, lambda: download(store, frame=FRAME.iloc[::2], replace=True), FRAME)
    assert_same(store.get_historical_prices("X"), FRAME.iloc[::2])


def test_a_late_download_is_dropped_if_its_history_was_restated(store: DuckDBDataStorage) -> None:
    download(store)
    late(store, lambda: store.restate_series("X", "test", "minute"), FRAME.assign(volume=1))
    assert store.facts(store.pin("X")).rows == 0
    assert store.coverage("X") == []


@examples(6)
@given(data=st.data())
def test_in_whatever_order_downloads_are_merged_the_latest_request_counts(data: st.DataObject) -> None:
    """Against a model: for each bar, the value of the latest request; some go to the store at once, others wait."""
    folder = Path(tempfile.mkdtemp())
    try:
        connection = StoreConnection.of(folder / "s.duckdb", wait_seconds=0)
        storage = DuckDBDataStorage(connection.path)
        model: dict[int, int] = {}
        for number in range(data.draw(st.integers(2, 6))):
            rows = sorted(data.draw(st.sets(st.integers(0, 9), min_size=1)))
            frame = FRAME.iloc[rows].assign(volume=number)
            if data.draw(st.booleans()):
                keep(storage, frame=frame)
            else:
                waiting = Spool(storage.path).folder
                aside = waiting.rename(folder / f"aside{number}") if waiting.exists() else None
                download(storage, frame=frame)
                if aside is not None:
                    aside.rename(waiting)
            model.update(dict.fromkeys(rows, number))
        order = data.draw(st.permutations(files(storage)))
        for place, file in enumerate(order):  # the names give the order
            file.rename(file.with_name(f"{place:020d}{file.name[20:]}"))
        storage.merge_spooled()
        volumes = storage.get_historical_prices("X")["volume"]
        assert volumes.tolist() == [model[row] for row in sorted(model)]
        storage.close()
    finally:
        shutil.rmtree(folder)


# -- writes go on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", [duckdb.OutOfMemoryException("Out of Memory Error"), MemoryError(), OverflowError("too large")]
)
def test_a_download_that_cannot_be_merged_for_any_reason_blocks_no_write(
    store: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, reason: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    file = keep(store)
    merge = OpenStore.merge_file

    def fail(self: OpenStore, kept: SpooledWrite, file: Path, **_: Any) -> bool:
        with self.transaction():
            raise reason

    monkeypatch.setattr(OpenStore, "merge_file", fail)
    store.store_ohlcv_data("Y", FRAME, "own", "minute")
    assert [aside.name for aside in files(store)] == [file.name + ".damaged"]
    assert "rename it back" in caplog.text
    monkeypatch.setattr(OpenStore, "merge_file", merge)
    files(store)[0].rename(file)
    assert store.merge_spooled() == 1
    assert_same(store.get_historical_prices("X"), FRAME)


def test_a_disk_that_is_too_full_for_a_merge_may_have_room_for_a_write(
    store: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: OpenStore, kept: SpooledWrite, file: Path, **_: Any) -> bool:
        raise StoreWriteError("No space left on device")

    keep(store)
    monkeypatch.setattr(OpenStore, "merge_file", full)
    store.store_ohlcv_data("Y", FRAME, "own", "minute")
    assert_same(store.get_historical_prices("Y"), FRAME)
    assert len(files(store)) == 1
    with pytest.raises(StoreWriteError, match="No space left"):
        store.merge_spooled()


def test_a_small_write_does_not_wait_for_a_large_merge(store: DuckDBDataStorage) -> None:
    large = minute_bars("2023-01-03 09:30", rows=MOST_BARS + 1)
    store.close()
    with locked(store.path), pytest.raises(StoreBusyError, match="the next download or compaction merges it"):
        download(store, "LARGE", large)
    small = keep(store, "SMALL")
    store.store_ohlcv_data("Y", FRAME, "own", "minute")
    assert [info.key.asset.symbol for info in store.list_series()] == ["OLD", "SMALL", "Y"]
    assert small not in files(store)
    (finding,) = store.verify().findings
    assert "for the next import, download or compaction" in finding.what
    store.compact()
    assert files(store) == []
    assert store.facts(store.pin("LARGE")).rows == len(large)


@pytest.mark.parametrize("symbol", ["OLD", "X"], ids=["stored", "spooled"])
@pytest.mark.parametrize(
    ("change", "rows"),
    [
        pytest.param(lambda s, symbol: s.delete_series(symbol, "test", "minute", adjustment=""), 0, id="delete"),
        pytest.param(lambda s, symbol: s.restate_series(symbol, "test", "minute"), 0, id="restate"),
        pytest.param(
            lambda s, symbol: s.forget_coverage(SeriesKey(AssetKey(symbol), "test", "minute")), len(FRAME), id="forget"
        ),
    ],
)
def test_a_change_of_a_series_merges_only_what_waits_for_that_series(
    store: DuckDBDataStorage,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[DuckDBDataStorage, str], Any],
    rows: int,
    symbol: str,
) -> None:
    keep(store, symbol)
    others = [keep(store, "LARGE"), keep(store, symbol, adjustment="split")]
    monkeypatch.setattr(spool, "MOST_BARS", 1)  # nothing is merged in passing
    change(store, symbol)
    assert files(store) == others
    assert sum(info.rows for info in store.list_series(symbol)) == rows
    assert store.missing_ranges(SeriesKey(AssetKey(symbol), "test", "minute"), WHOLE) == [WHOLE]


def test_deleting_an_asset_deletes_all_that_waits_for_it(store: DuckDBDataStorage) -> None:
    for adjustment in ("", "split"):
        keep(store, adjustment=adjustment)
    other = keep(store, "LARGE")
    assert store.delete_series("X") == 2 * len(FRAME)
    assert other not in files(store)  # it is small, so the delete merged it in passing
    assert [info.key.asset.symbol for info in store.list_series()] == ["LARGE", "OLD"]


def test_a_damaged_file_in_the_spool_does_not_keep_a_series_from_being_deleted(store: DuckDBDataStorage) -> None:
    file = keep(store)
    file.write_bytes(b"hello")
    assert store.delete_series("OLD") == len(FRAME)
    assert [aside.suffix for aside in files(store)] == [".damaged"]


# -- files that are not what they should be ------------------------------------------------------------------


def _flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _with(column: str, values: Any) -> Callable[[bytes], bytes]:
    """Change a column of a file, in a way that the file is whole."""

    def changed(content: bytes) -> bytes:
        table = pa.ipc.open_file(content).read_all()
        made = table.set_column(table.column_names.index(column), column, pa.array(values(table[column].to_pylist())))
        return _as_file(made.replace_schema_metadata(table.schema.metadata))

    return changed


def _saying(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        table = pa.ipc.open_file(content).read_all()
        ((name, said),) = table.schema.metadata.items()
        assert old in said
        return _as_file(table.replace_schema_metadata({name: said.replace(old, new)}))

    return changed


def _as_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


# What is done to the contents, and whether the digest in the name is put right.
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "empty": (lambda _: b"", False),
    "cut off": (lambda content: content[:-100], False),
    "a bit flipped": (_flipped, False),
    "no Arrow": (lambda _: b"hello" * 100, True),
    "Arrow that says nothing": (lambda _: _as_file(pa.table({"ts": [1]})), True),
    "no JSON": (_saying(b"{", b"["), True),
    "a source that is none": (_saying(b'"test"', b'"no source"'), True),
    "a symbol that is no text": (_saying(b'"X"', b'["X"]'), True),
    "a symbol that no text holds": (_saying(b'"X"', b'"\\ud800"'), True),
    "a dtype that is none": (_saying(b"int64", b"blob"), True),
    "a column that is not there": (_saying(b'\\"physical\\":\\"close\\"', b'\\"physical\\":\\"closed\\"'), True),
    "texts for prices": (_with("close", lambda values: [str(value) for value in values]), True),
    "times twice": (_with("ts", lambda values: [values[0]] * len(values)), True),
    "times without end": (_with("ts", lambda values: [2**62 + n for n in range(len(values))]), True),
    "a time without zone": (_saying(b"+00:00", b""), True),
    "a timeframe without end": (_saying(b'"minute"', b'"999999day"'), True),
    "a range that ends before it starts": (_saying(str(WHOLE.end).encode(), b"1"), True),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_quarantined_and_writes_continue(
    store: DuckDBDataStorage, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = keep(store)
    keep(store, "Y")
    change, with_digest = DAMAGES[damage]
    content = change(file.read_bytes())
    file.write_bytes(content)
    if with_digest:
        stamp, bars, _ = file.name.split("-")
        file = file.rename(file.with_name(f"{stamp}-{bars}-{hashlib.sha256(content).hexdigest()}.arrow"))
    store.store_ohlcv_data("Z", FRAME, "own", "minute")
    assert [info.key.asset.symbol for info in store.list_series()] == ["OLD", "Y", "Z"]
    (aside,) = files(store)
    assert aside.name == file.name + ".damaged"
    assert aside.read_bytes() == content
    (record,) = caplog.records
    assert (record.levelno, file.name in record.message) == (logging.WARNING, True)
    assert store.statistics().details == {"spooled": SpoolContents(0, 0, 1)}
    (finding,) = store.verify().findings
    assert (finding.check, finding.damage, "1 file" in finding.what) == ("spool", False, True)
    caplog.clear()
    store.store_ohlcv_data("Z", FRAME, "own", "day")
    assert caplog.records == []  # it is logged once


def test_bars_that_do_not_go_with_what_is_stored_are_quarantined(store: DuckDBDataStorage) -> None:
    keep(store, "OLD", minute_bars("2024-01-04 09:30").assign(volume="many"))
    download(store)
    assert [file.suffix for file in files(store)] == [".damaged"]
    assert_same(store.get_historical_prices("OLD"), FRAME)


def test_other_files_and_folders_in_the_spool_are_left_alone(store: DuckDBDataStorage) -> None:
    kept = keep(store)
    (kept.parent / "note.txt").write_text("mine")
    (kept.parent / "folder.arrow").mkdir()
    download(store)
    assert [file.name for file in files(store)] == ["folder.arrow", "note.txt"]


def test_what_a_dead_program_half_wrote_is_removed_and_of_a_living_one_left(store: DuckDBDataStorage) -> None:
    kept = keep(store)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (kept.parent / f"{kept.name}.{pid}").write_bytes(kept.read_bytes()[:1000])
    assert store.statistics().details == {"spooled": SpoolContents(1, len(FRAME), 0)}
    assert store.merge_spooled() == 1
    assert [file.name for file in files(store)] == [f"{kept.name}.{os.getppid()}"]


def test_a_spool_that_nobody_may_look_into_stops_no_write(
    store: DuckDBDataStorage, caplog: pytest.LogCaptureFixture
) -> None:
    Spool(store.path).folder.write_text("no folder")
    download(store)
    assert "cannot look into" in caplog.text
    store.close()
    with (
        locked(store.path),
        pytest.raises(StoreBusyError, match=r"not in the store\. Fix the cause and try again"),
    ):
        download(store)
    with locked(store.path), pytest.raises(StoreBusyError, match=r"\(an empty response for X stock, minute bars"):
        download(store, frame=FRAME.iloc[:0])
    with locked(store.path), pytest.raises(StoreBusyError, match=r"\(1 bar of X stock, minute bars from test\)"):
        download(store, frame=FRAME.iloc[:1])


def test_what_waits_is_reported(store: DuckDBDataStorage) -> None:
    keep(store)
    keep(store, "Y")
    (finding,) = store.verify().findings
    assert (finding.check, finding.damage) == ("spool", False)
    assert finding.what.startswith(f"80 bars of 2 writes wait in {Spool(store.path).folder} ")
    assert store.verify().sound
    assert len(files(store)) == 2


# -- writes that would rather be spooled than wait -------------------------------------------------------------


def test_a_write_may_be_spooled_instead_of_waiting(store: DuckDBDataStorage) -> None:
    store.close()
    connection = StoreConnection.of(store.path)
    connection.wait_seconds = 1_000.0
    reported: list[tuple[int, int]] = []
    corrected = FRAME.assign(volume=7)
    with locked(store.path):
        for frame in (FRAME, corrected):  # the second one would first merge the first one
            result = store.store_ohlcv_data(
                "X", frame, "test", "minute", spool=True, metadata={"n": 1}, on_rows=lambda *rows: reported.append(rows)
            )
            assert (result.spooled, result.added, result.ingest_id, result.version_id) == (40, 0, None, None)
    assert reported == [(40, 40)] * 2
    assert len(files(store)) == 2
    assert store.coverage("X") == []
    free = store.store_ohlcv_data("NEXT", FRAME, "test", "minute", spool=True)  # merges, since it need not wait
    assert (free.added, free.spooled) == (40, 0)
    assert files(store) == []
    assert_same(store.get_historical_prices("X"), corrected)
    first, last = (int(FRAME.index[place].timestamp()) for place in (0, -1))
    assert store.coverage("X") == [TimeRange(first, last + 60)]  # as for any write without a range
    assert [dict(write.metadata) for write in store.ingests(store.pin("X"))] == [{"n": 1}]


def test_a_spooled_write_does_not_change_what_was_written_after_it(store: DuckDBDataStorage) -> None:
    store.close()
    with locked(store.path):
        store.store_ohlcv_data("X", minute_bars(rows=MOST_BARS + 1), "test", "minute", spool=True)
    later = FRAME.assign(volume=7)
    store.store_ohlcv_data("X", later, "test", "minute", spool=True)
    assert len(files(store)) == 1  # too large to be merged in passing
    store.compact()
    assert files(store) == []
    assert_same(store.get_historical_prices("X").iloc[:40], later)
    assert len(store.get_historical_prices("X")) == MOST_BARS + 1


def test_only_a_held_store_lets_a_write_be_spooled(store: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidBarsError):
        store.store_ohlcv_data("X", FRAME.tz_localize(None), "test", "minute", spool=True)

    def fail(*_: Any) -> None:
        raise StoreWriteError("the disk is full")

    monkeypatch.setattr(OpenStore, "write_to", fail)
    with pytest.raises(StoreWriteError, match=r"^the disk is full$"):
        store.store_ohlcv_data("X", FRAME, "test", "minute", spool=True)
    assert files(store) == []


def test_a_write_that_cannot_be_spooled_either_is_an_error(store: DuckDBDataStorage) -> None:
    Spool(store.path).folder.write_text("no folder")
    store.close()
    with locked(store.path), pytest.raises(StoreBusyError, match=r"The write \(40 bars of X .* not in the store\. Fix"):
        store.store_ohlcv_data("X", FRAME, "test", "minute", spool=True)


# -- full disks ----------------------------------------------------------------------------------------------

NO_LARGE_FILES = """
import os, resource, sys
sys.path.insert(0, sys.argv[2])
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import StoreWriteError
from lumibot_duckdb.storage.api import TimeRange
from storage.frames import minute_bars
storage = DuckDBDataStorage(sys.argv[1])
storage.store_ohlcv_data("LARGE", minute_bars(rows=int(sys.argv[3])), "test", "minute")
storage.close()
frame = minute_bars(rows=200_000)
room = os.path.getsize(storage.path) + 100_000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:
    storage.store_ohlcv_data("BIG", frame, "test", "minute", covered=TimeRange(1_704_150_000, 1_704_240_000))
except StoreWriteError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize(
    ("rows", "outcome"), [(700_000, "kept in"), (100, "not in the store. Fix the cause and try again")]
)
def test_bars_that_do_not_fit_into_the_store_are_kept_if_they_fit_beside_it(
    store: DuckDBDataStorage, rows: int, outcome: str
) -> None:
    store.close()
    ended = subprocess.run(
        [sys.executable, "-c", NO_LARGE_FILES, str(store.path), str(Path(__file__).parents[2]), str(rows)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in ended.stdout
    assert outcome in ended.stdout
    if outcome == "kept in":
        assert store.merge_spooled() == 1
        assert_same(store.get_historical_prices("BIG"), minute_bars(rows=200_000))
    else:
        assert files(store) == []


def test_a_disk_without_any_room_is_reported_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        storage = DuckDBDataStorage(disk / "s.duckdb")
        download(storage)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        large = minute_bars(rows=300_000)
        with pytest.raises(StoreWriteError, match=r"No space left.* not in the store"):
            download(storage, frame=large)
        assert files(storage) == []
        filler.unlink()
        download(storage, frame=large.iloc[:50])
        storage.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_waits_can_be_listed(store: DuckDBDataStorage) -> None:
    kept = keep(store, OPTION), keep(store, "X", FRAME.iloc[:7])
    (store.path.with_name(store.path.name + ".spool") / kept[1].name.replace("-7-", "-8-")).write_bytes(b"junk")
    first, *others = Spool(store.path).waiting()
    assert (first.name, first.bars, first.series) == (kept[0].name, 40, SeriesKey(OPTION, "test", "minute"))
    assert abs(first.kept_at - dt.datetime.now().timestamp()) < 600
    assert {(each.bars, each.series and each.series.label()) for each in others} == {
        (7, "X stock, minute bars from test"),
        (8, None),
    }
