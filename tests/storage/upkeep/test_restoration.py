"""A restored backup is the store at the time of the backup; what it replaces is listed and kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.operations import fill_old, spool
from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    ReplicaError,
    SeriesNotFoundError,
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
    VersionGoneError,
)
from lumibot_duckdb.storage.upkeep import losses, replacement, restoration
from lumibot_duckdb.storage.upkeep.losses import Loss
from processes import FORKED
from storage.frames import assert_same, minute_bars
from storage.upkeep.copies import FRAME, LATER, assert_nothing_left, fill, store, tables


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and a backup of it that lacks some bars."""
    folder = tmp_path_factory.mktemp("template")
    storage = DuckDBDataStorage(folder)
    fill(storage)
    storage.backup(folder / "b")
    store(storage, "A", LATER)
    storage.close()
    return folder


@pytest.fixture
def backed_up(template: Path, storage: DuckDBDataStorage, tmp_path: Path) -> DuckDBDataStorage:
    """A store with the backup `b` beside it, which lacks some bars."""
    for name in (storage.path.name, "b"):
        shutil.copyfile(template / name, tmp_path / name)
    return storage


def seen(storage: DuckDBDataStorage) -> dict[str, Any]:
    """Return what the methods of a storage return."""
    found: dict[str, Any] = {}
    for info in storage.list_series():
        pin = storage.pin(info.key)
        found[info.key.label()] = (
            storage.read_pandas(pin).to_json(),
            info,
            storage.ingests(pin),
            storage.coverage(info.key, include_expired=True),
            storage.corporate_actions(info.key.asset.symbol, "test"),
            storage.option_chain(info.key.asset.symbol, "test", FRAME.index[0].date(), FRAME.index[0].date()),
        )
    return found


def kept_file(storage: DuckDBDataStorage) -> Path:
    (kept,) = storage.path.parent.glob("*.replaced-*.duckdb")
    return kept


# -- what is restored ----------------------------------------------------------------------------------------


def test_the_store_is_what_it_was(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    fill(storage)
    before, pin = tables(storage.path), storage.pin("A")
    shown = seen(storage)
    storage.backup(tmp_path / "b")
    store(storage, "A", LATER)
    store(storage, "NEW")
    lost = storage.pin("NEW")
    replaced = tables(storage.path)
    report = storage.restore(tmp_path / "b")
    assert report.restored
    assert (report.series, report.rows, report.bytes) == (3, len(before["bar"]), (tmp_path / "b").stat().st_size)
    assert tables(storage.path) == before
    for one in (storage, DuckDBDataStorage(storage.path)):
        assert seen(one) == shown
        assert_same(one.read_pandas(pin), FRAME.assign(volume=7))
        with pytest.raises(VersionGoneError):
            one.read_pandas(lost)
    store(storage, "NEW", LATER)
    assert_same(storage.get_historical_prices("NEW"), LATER)
    assert storage.verify().findings == []
    assert report.kept_as == str(kept_file(storage))
    assert tables(kept_file(storage)) == replaced
    assert_nothing_left(tmp_path)


_WRITES = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(1, 60), st.sampled_from(["store", "delete"])),
    min_size=1,
    max_size=3,
)


@examples(6)
@given(earlier=_WRITES, later=_WRITES)
def test_backup_more_writes_and_restore_give_the_state_at_the_backup(
    tmp_path_factory: pytest.TempPathFactory, earlier: list[Any], later: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("s")
    storage = DuckDBDataStorage(folder)
    store(storage, "Z")

    def write(steps: list[Any]) -> None:
        for symbol, seed, rows, what in steps:
            if what == "store":
                store(storage, symbol, minute_bars(rows=rows, seed=seed))
            else:
                storage.delete_series(symbol)

    write(earlier)
    before, shown = tables(storage.path), seen(storage)
    storage.backup(folder / "b")
    write(later)
    now = {info.key: storage.read_pandas(storage.pin(info.key)) for info in storage.list_series()}
    report = storage.restore(folder / "b")
    assert tables(storage.path) == before
    assert seen(storage) == shown
    then = {info.key: storage.read_pandas(storage.pin(info.key)) for info in storage.list_series()}
    assert sorted(report.losses, key=str) == sorted(_lost(now, then), key=str)
    storage.close()
    shutil.rmtree(folder)


def _lost(now: dict[Any, pd.DataFrame], then: dict[Any, pd.DataFrame]) -> list[Loss]:
    found = []
    for key, frame in now.items():
        if key not in then:
            found.append(Loss(key, True, len(frame)))
            continue
        missing = len(frame.index.difference(then[key].index))
        both = frame.index.intersection(then[key].index)
        different = int((frame.loc[both] != then[key].loc[both]).any(axis=1).sum())
        if missing or different:
            found.append(Loss(key, False, missing, different))
    return found


@pytest.mark.older_duckdb
def test_losses_are_counted_in_any_column_and_in_pieces(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumibot_duckdb.storage.upkeep import store_copy

    monkeypatch.setattr(store_copy, "_ROWS_AT_A_TIME", 150)
    store(storage, "A")
    store(storage, "SAME")
    storage.backup(tmp_path / "b")
    assert storage.restore(tmp_path / "b", dry_run=True).losses == ()
    wider = FRAME.assign(note=[None, "x"] * (len(FRAME) // 2))
    wider.iloc[0, 4] += 1
    store(storage, "A", pd.concat([wider, LATER.assign(note=None)]))
    (loss,) = storage.restore(tmp_path / "b", dry_run=True).losses
    assert (loss.key.asset.symbol, loss.whole) == ("A", False)
    assert (loss.missing, loss.different) == (len(LATER), len(FRAME) // 2 + 1)


def test_another_store_is_compared_bar_by_bar(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    other = DuckDBDataStorage(tmp_path / "other" / "s.duckdb")
    for one in (storage, other):
        store(one, "A")
    store(storage, "B")
    other.backup(tmp_path / "b")
    assert [(loss.key.asset.symbol, loss.missing) for loss in storage.restore(tmp_path / "b").losses] == [
        ("B", len(FRAME))
    ]
    other.close()


def test_where_there_is_no_store_the_backup_becomes_one(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    there = DuckDBDataStorage(tmp_path / "néw folder" / "s.duckdb")
    assert not there.restore(tmp_path / "b", dry_run=True).restored
    assert not there.path.parent.exists()
    report = there.restore(tmp_path / "b")
    assert (report.restored, report.replaces, report.kept_as) == (True, False, None)
    assert_same(there.get_historical_prices("A"), FRAME)
    there.close()
    assert sorted(file.name for file in there.path.parent.iterdir()) == [
        "s.duckdb",
        "s.duckdb.lock",
        "s.duckdb.turn",
        "s.duckdb.use",
    ]


def test_an_older_backup_is_upgraded_and_stays_as_it_is(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    old = DuckDBDataStorage(tmp_path / "old.duckdb")
    fill_old(old)
    old.close()
    content = old.path.read_bytes()
    store(storage, "A")
    assert storage.restore(old.path).restored
    assert storage.list_series() == []
    store(storage, "B")
    assert storage.verify().findings == []
    assert old.path.read_bytes() == content


def test_a_backup_is_restored_with_the_log_beside_it(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    other = DuckDBDataStorage(tmp_path / "other.duckdb")
    store(other, "A")
    other.close()
    store(other, "B")
    for suffix in ("", ".wal"):
        shutil.copyfile(f"{other.path}{suffix}", f"{tmp_path / 'copy'}{suffix}")
    other.close()
    storage.restore(tmp_path / "copy")
    assert [info.key.asset.symbol for info in storage.list_series()] == ["A", "B"]


# -- what is not restored ------------------------------------------------------------------------------------


def newer(path: Path) -> None:
    with StoreConnection.of(path).write() as cursor:
        cursor.execute("UPDATE {db}.store_meta SET value = '99' WHERE key = 'schema_version'")
    StoreConnection.of(path).close()


def inconsistent(path: Path) -> None:
    with StoreConnection.of(path).write() as cursor:
        cursor.execute("DELETE FROM {db}.bar WHERE open > 100")
    StoreConnection.of(path).close()


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(12_288 + 4096, len(content), 65_536):
        content[at] ^= 255
    path.write_bytes(content)


def another_database(path: Path) -> None:
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE recipe (name VARCHAR)")


def empty_database(path: Path) -> None:
    path.unlink()
    duckdb.connect(str(path)).close()


@pytest.mark.older_duckdb
@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (newer, StoreVersionError, "b cannot be restored: .*newer release.*upgrade"),
        (inconsistent, StoreDamagedError, "b is damaged, and was not restored"),
        (damaged, StoreDamagedError, "damaged"),
        (lambda path: path.write_bytes(b""), StoreDamagedError, "b is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:100_000]), StoreDamagedError, "b is "),
        (lambda path: path.write_text("date,close\n" * 10_000), StoreDamagedError, "b is a text file, not a store"),
        (another_database, StoreDamagedError, "b cannot be restored: .*not a lumibot-duckdb store .*recipe"),
        (empty_database, StoreDamagedError, "b is an empty DuckDB database"),
        (lambda path: path.unlink(), StoreNotFoundError, "there is no file .*b"),
        (lambda path: (path.unlink(), path.mkdir()), ValueError, "b is a folder"),
    ],
)
def test_what_is_no_sound_backup_changes_nothing(
    backed_up: DuckDBDataStorage, tmp_path: Path, harm: Any, error: type[Exception], message: str
) -> None:
    before = backed_up.path.read_bytes()
    harm(tmp_path / "b")
    with pytest.raises(error, match=message):
        backed_up.restore(tmp_path / "b")
    backed_up.close()
    assert backed_up.path.read_bytes() == before
    assert_nothing_left(tmp_path)
    assert list(tmp_path.glob("*.replaced-*")) == []


def test_neither_a_replica_nor_the_store_itself_is_a_backup(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.replica(tmp_path / "r")
    with pytest.raises(ReplicaError, match=r"is a replica of .*restore a backup"):
        storage.restore(tmp_path / "r")
    with pytest.raises(ValueError, match="is the store itself"):
        storage.restore(storage.path)


def test_a_dry_run_and_a_no_change_nothing(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    store(storage, "B")
    before = tables(storage.path)
    for report in (
        storage.restore(tmp_path / "b", dry_run=True),
        storage.restore(tmp_path / "b", confirm=lambda found: len(found.losses) > 1),
    ):
        assert not report.restored
        assert [(loss.key.asset.symbol, loss.whole, loss.missing) for loss in report.losses] == [("B", True, 400)]
    assert tables(storage.path) == before
    assert_nothing_left(tmp_path)
    assert list(tmp_path.glob("*.replaced-*")) == []


# -- the store that is replaced ------------------------------------------------------------------------------


def test_it_can_be_dropped(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    spool(storage, "B", FRAME)
    report = storage.restore(tmp_path / "b", keep_replaced=False)
    assert report.spooled.bars == len(FRAME)
    assert report.kept_as is None
    storage.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("b", "lumibot.duckdb", "lumibot.duckdb.lock", "lumibot.duckdb.turn")
    ]


def test_a_restoration_can_be_undone_and_what_waited_in_the_spool_goes_along(
    storage: DuckDBDataStorage, tmp_path: Path
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    store(storage, "A", LATER)
    spool(storage, "B", FRAME)
    report = storage.restore(tmp_path / "b")
    assert (report.spooled.writes, report.spooled.bars) == (1, len(FRAME))
    store(storage, "C")  # merges nothing
    assert [info.key.asset.symbol for info in storage.list_series()] == ["A", "C"]
    kept = DuckDBDataStorage(kept_file(storage))
    assert kept.merge_spooled() == 1
    kept.close()
    undone = storage.restore(kept.path)
    assert [loss.key.asset.symbol for loss in undone.losses] == ["C"]
    assert_same(storage.get_historical_prices("A"), pd.concat([FRAME, LATER]))
    assert_same(storage.get_historical_prices("B"), FRAME)


def test_what_waits_where_there_is_no_store_stays(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    there = DuckDBDataStorage(tmp_path / "new" / "s.duckdb")
    there.path.parent.mkdir()
    spool(there, "B", FRAME)
    there.restore(tmp_path / "b")
    assert there.merge_spooled() == 1
    assert [info.key.asset.symbol for info in there.list_series()] == ["A", "B"]
    there.close()


@pytest.mark.parametrize(
    "harm",
    [
        damaged,
        newer,
        another_database,
        lambda path: path.write_bytes(b"no store" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:100_000]),
    ],
)
def test_a_store_that_cannot_be_opened_is_replaced(backed_up: DuckDBDataStorage, tmp_path: Path, harm: Any) -> None:
    harm(backed_up.path)
    content = backed_up.path.read_bytes()
    (tmp_path / "lumibot.duckdb.wal").write_bytes(b"its log")
    report = backed_up.restore(tmp_path / "b")
    assert report.restored
    assert report.not_compared
    assert kept_file(backed_up).read_bytes() == content
    assert [file.read_bytes() for file in tmp_path.iterdir() if ".wal" in file.name] == [b"its log"]
    assert_same(backed_up.get_historical_prices("A"), FRAME.assign(volume=7))
    backed_up.close()
    assert backed_up.path.read_bytes() == (tmp_path / "b").read_bytes()


def test_the_other_name_that_an_interrupted_restoration_left_is_removed(
    storage: DuckDBDataStorage, tmp_path: Path
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    storage.close()
    left = tmp_path / "lumibot.replaced-20240603-153000.duckdb"
    left.hardlink_to(storage.path)
    earlier = tmp_path / "lumibot.replaced-20240603-153001.duckdb"
    earlier.write_text("the store that another restoration replaced")
    report = storage.restore(tmp_path / "b")
    assert {str(file) for file in tmp_path.glob("*.replaced-*")} == {report.kept_as, str(earlier)}


def test_without_hard_links_it_is_copied(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    store(storage, "B")
    replaced = tables(storage.path)

    def refuse(*_: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    storage.restore(tmp_path / "b")
    assert tables(kept_file(storage)) == replaced


def test_a_rename_that_fails_leaves_everything_as_it_was(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    store(storage, "B")
    before = tables(storage.path)

    def fail(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(restoration, "put_in_place", fail)
    with pytest.raises(StoreWriteError, match="is unchanged: Input/output error"):
        storage.restore(tmp_path / "b")
    assert tables(storage.path) == before
    assert_nothing_left(tmp_path)
    assert list(tmp_path.glob("*.replaced-*")) == []


@pytest.mark.older_duckdb
def test_a_folder_that_cannot_be_synced_afterwards_costs_no_store(
    backed_up: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, sync = backed_up.path.read_bytes(), replacement._sync

    def fail_for_folders(path: Path) -> None:
        if path.is_dir():
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(replacement, "_sync", fail_for_folders)
    assert backed_up.restore(tmp_path / "b").restored
    assert kept_file(backed_up).read_bytes() == before
    assert "a power failure may undo its renaming: Input/output error" in caplog.text


# -- other processes -----------------------------------------------------------------------------------------


def hold(path: Path, pipe: Connection) -> None:
    """In another process: hold the lock for reading until told to release it."""
    lock = StoreLock(path)
    lock.acquire(False, time.monotonic() + 10)
    pipe.send("held")
    pipe.recv()
    lock.close()


def test_a_process_that_holds_the_store_is_named(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    storage.close()
    connection = StoreConnection.of(storage.path)
    connection.wait_seconds = 0.2
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=hold, args=(connection.path, theirs), daemon=True)
    process.start()
    assert ours.recv() == "held"
    with pytest.raises(StoreBusyError, match=rf"process {process.pid} .*is reading"):
        storage.restore(tmp_path / "b")
    ours.send("release")
    process.join()
    assert storage.restore(tmp_path / "b").restored
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("sound", [True, False])
def test_a_notebook_that_has_the_store_open_is_named(storage: DuckDBDataStorage, tmp_path: Path, sound: bool) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    storage.close()
    connection = StoreConnection.of(storage.path)
    connection.wait_seconds = 0.2
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_SH); print(1, flush=True); input()"
    )
    call = [sys.executable, "-c", code, str(storage.path)]
    if not sound:
        storage.path.write_bytes(b"no store" * 1000)
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdout is not None
        notebook.stdout.readline()
        with pytest.raises(StoreBusyError, match=rf"process {notebook.pid}\b"):
            storage.restore(tmp_path / "b")
        notebook.communicate("\n")
    assert storage.restore(tmp_path / "b").restored


def read_for_ever(path: Path, pipe: Connection) -> None:
    """In another process: read a pin and the present bars until told to stop; send what was wrong."""
    storage = DuckDBDataStorage(path)
    allowed = [FRAME, pd.concat([FRAME, LATER])]
    pin = storage.pin("A")
    wrong, gone, lengths = [], 0, set()
    pipe.send("going")
    while not pipe.poll():
        try:
            assert_same(storage.read_pandas(pin), allowed[1])
        except VersionGoneError:
            gone += 1
        except BaseException as error:
            wrong.append(f"pin: {error!r}")
        try:
            frame = storage.get_historical_prices("A")
            assert_same(frame, allowed[len(frame) > len(FRAME)])
            lengths.add(len(frame))
            len(storage.get_historical_prices("B"))
        except SeriesNotFoundError:
            pass
        except BaseException as error:
            wrong.append(f"present: {error!r}")
    pipe.send((wrong[:3], gone, sorted(lengths)))
    storage.close()


@pytest.mark.older_duckdb
def test_a_process_that_reads_meanwhile_gets_an_error_or_the_new_state(
    storage: DuckDBDataStorage, tmp_path: Path
) -> None:
    store(storage, "A")
    storage.backup(tmp_path / "b")
    store(storage, "A", LATER)
    store(storage, "B")
    ours, theirs = FORKED.Pipe()
    process = FORKED.Process(target=read_for_ever, args=(storage.path, theirs), daemon=True)
    process.start()
    assert ours.recv() == "going"
    time.sleep(0.2)
    storage.restore(tmp_path / "b")
    time.sleep(0.2)
    ours.send("stop")
    wrong, gone, lengths = ours.recv()
    process.join()
    assert wrong == []
    assert gone > 0
    assert lengths == [len(FRAME), len(FRAME) + len(LATER)]


def test_a_full_disk_leaves_the_store_unchanged(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    store(storage, "A", minute_bars(rows=20_000))
    storage.backup(tmp_path / "b")
    store(storage, "B")
    before = tables(storage.path)
    code = """
        import resource, sys
        from lumibot_duckdb import DuckDBDataStorage
        from lumibot_duckdb.storage.errors import StoreWriteError
        storage = DuckDBDataStorage(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            storage.restore(sys.argv[2])
        except StoreWriteError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(storage.path), str(tmp_path / "b")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"and {storage.path} is unchanged" in done.stdout, done.stderr
    assert tables(storage.path) == before
    assert_nothing_left(tmp_path)


def test_comparing_reads_only_series_that_differ(
    storage: DuckDBDataStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in "ABC":
        store(storage, symbol)
    storage.backup(tmp_path / "b")
    store(storage, "B", LATER)
    compared: list[dict[int, int]] = []
    count = losses._count
    monkeypatch.setattr(losses, "_count", lambda *given: (compared.append(given[2]), count(*given))[1])
    storage.restore(tmp_path / "b", dry_run=True)
    assert [len(pairs) for pairs in compared] == [1]
