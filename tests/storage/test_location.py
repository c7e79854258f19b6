from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from disks import make_read_only, make_writable, mounted_disk
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.spool import Spool
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    SeriesNotFoundError,
    StorageError,
    StoreBusyError,
    StoreNotFoundError,
    StoreWriteError,
)
from lumibot_duckdb.storage.location import store_path
from storage.frames import assert_same, minute_bars


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUMIBOT_DUCKDB_PATH", raising=False)
    monkeypatch.delenv("LUMIBOT_CACHE_FOLDER", raising=False)


def test_by_default_the_store_is_in_lumibots_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from lumibot.constants import LUMIBOT_CACHE_FOLDER

    monkeypatch.delenv("LUMIBOT_CACHE_FOLDER", raising=False)
    from appdirs import user_cache_dir

    assert store_path() == Path(user_cache_dir("lumibot", "LumiWealth", "1.0")) / "duckdb" / "lumibot.duckdb"
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", LUMIBOT_CACHE_FOLDER)
    assert store_path() == Path(LUMIBOT_CACHE_FOLDER) / "duckdb" / "lumibot.duckdb"


def test_the_environment_may_name_a_file_or_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "mine.duckdb"))
    assert store_path() == tmp_path / "mine.duckdb"
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "folder"))
    assert store_path() == tmp_path / "folder" / "lumibot.duckdb"


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "elsewhere"))
    assert store_path(tmp_path / "here") == tmp_path / "here" / "lumibot.duckdb"
    assert store_path("~/x.duckdb") == Path.home() / "x.duckdb"


def test_a_folder_may_look_like_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "data.duckdb"
    folder.mkdir()
    assert store_path(folder) == folder / "lumibot.duckdb"


@pytest.mark.parametrize("location", ["ducklake:catalog", "gs://bucket/store.duckdb"])
def test_other_kinds_of_location_are_refused(location: str) -> None:
    with pytest.raises(ValueError, match="not supported yet"):
        DuckDBDataStorage(location)


@pytest.mark.parametrize("name", ["file", "file/folder", "file/x.duckdb", "x.duckdb/folder"])
def test_a_file_has_no_room_for_a_store(tmp_path: Path, name: str) -> None:
    for file in ("file", "x.duckdb"):
        (tmp_path / file).write_text("")
    with pytest.raises(ValueError, match=rf"{name.split('/')[0]} is not a folder.*name a folder"):
        store_path(tmp_path / name)


def test_lumibots_cache_folder_has_no_room_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="file is not a folder"):
        store_path()


@pytest.mark.parametrize("name", ["a?b.duckdb", "a\\b.duckdb", "s.duckdb?access_mode=read_only"])
def test_a_path_that_duckdb_takes_for_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="choose another path"):
        DuckDBDataStorage(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / "a?b", target_is_directory=True)
    (tmp_path / "a?b").mkdir()
    with pytest.raises(ValueError, match="choose another path"):
        DuckDBDataStorage(tmp_path / "link" / "s.duckdb")


@pytest.mark.parametrize("name", ["a b#c%20d.duckdb", "it's.duckdb", "a*[b].duckdb", "file:x.duckdb", "é\n.duckdb"])
def test_other_unusual_paths_work(tmp_path: Path, name: str) -> None:
    storage = DuckDBDataStorage(tmp_path / name)
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute")
    storage.compact()
    storage.close()
    assert storage.path == tmp_path / name
    assert DuckDBDataStorage(tmp_path / name).facts(storage.pin("X")).rows == 60
    storage.close()


def test_a_path_close_to_the_limit_works_or_is_refused(tmp_path: Path) -> None:
    worked = 0
    for length in (170, 190, 195, 196, 200, 230, 250, 255, 300):
        name = "n" * (length - len(".duckdb")) + ".duckdb"
        try:
            storage = DuckDBDataStorage(tmp_path / name)
        except ValueError as error:
            assert "bytes too long" in str(error)  # noqa: PT017
            continue
        worked += 1
        use_everything(storage)
    assert worked == 3
    deep = tmp_path
    while len(str(deep)) < 3_700:
        deep = deep / ("d" * 200)
    for more in range(1, 400, 20):
        folder = deep / ("e" * min(more, 200)) / ("f" * max(1, more - 200))
        try:
            storage = DuckDBDataStorage(folder / "s.duckdb")
        except ValueError as error:
            assert "bytes too long" in str(error)  # noqa: PT017
            break
        use_everything(storage)
    else:
        pytest.fail("no path was too long")


def use_everything(storage: DuckDBDataStorage) -> None:
    """Make every file that is ever beside a store, then remove it all."""
    day = TimeRange(1_704_150_000, 1_704_240_000)
    storage.store_ohlcv_data("X", minute_bars(), "test", "minute", covered=day)
    storage.close()
    lock, connection = StoreLock(storage.path), StoreConnection.of(storage.path)
    lock.acquire(True, float("inf"))
    connection.wait_seconds = 0
    with pytest.raises(StoreBusyError, match="is kept in"):
        storage.store_ohlcv_data("Y", minute_bars(), "test", "minute", covered=day)
    lock.close()
    connection.wait_seconds = 30
    storage.compact()
    storage.close()
    assert len(storage.list_series()) == 2
    storage.close()
    shutil.rmtree(Spool(storage.path).folder, ignore_errors=True)
    storage.path.unlink()


@pytest.mark.parametrize("kind", ["device", "fifo", "socket"])
@pytest.mark.parametrize("linked", [True, False])
def test_what_is_no_file_is_refused_and_stays(tmp_path: Path, kind: str, linked: bool) -> None:
    place = tmp_path / "special.duckdb"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    else:
        place = Path("/dev/null")
    named = tmp_path / "link.duckdb" if linked else place
    if linked:
        named.symlink_to(place)
    before = place.stat()
    with pytest.raises(ValueError, match=r"not a regular file|not a folder"):
        DuckDBDataStorage(named)
    connection = StoreConnection.of(named)  # as if it had been replaced later
    for block in (connection.read, connection.write):
        with pytest.raises(StorageError, match="not a regular file"), block():
            pass
    assert (place.stat().st_mode, place.stat().st_ino) == (before.st_mode, before.st_ino)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can be made read-only."""
    with mounted_disk(tmp_path / "disk") as disk:
        yield disk
        StoreConnection.of(disk / "s.duckdb").close()


@pytest.mark.parametrize("leave", ["everything", "no lock files", "a log"])
def test_a_store_on_a_read_only_disk_can_be_read_and_backed_up(disk: Path, leave: str, tmp_path: Path) -> None:
    frame = minute_bars()
    storage = DuckDBDataStorage(disk / "s.duckdb")
    storage.store_ohlcv_data("X", frame, "test", "minute")
    storage.close()
    if leave == "no lock files":
        for suffix in (".lock", ".turn"):
            storage.path.with_name(f"s.duckdb{suffix}").unlink()
    if leave == "a log":
        script = (
            "import os, sys; sys.path.insert(0, sys.argv[2]); from lumibot_duckdb import DuckDBDataStorage; "
            "from storage.frames import minute_bars; "
            "DuckDBDataStorage(sys.argv[1]).store_ohlcv_data('Y', minute_bars(), 'test', 'minute'); "
            "os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", script, str(storage.path), str(Path(__file__).parents[1])])
        assert storage.path.with_name("s.duckdb.wal").exists()
    make_read_only(disk)
    anew = DuckDBDataStorage(storage.path)
    for _ in range(2):
        assert len(anew.list_series()) == (2 if leave == "a log" else 1)
        assert_same(anew.get_historical_prices("X"), frame)
        assert anew.sql("SELECT count(*) AS n FROM ohlcv_data WHERE asset_symbol = 'X'").to_pylist() == [{"n": 60}]
        assert anew.verify().sound
        assert anew.backup(tmp_path / "backup", replace=True).rows == (120 if leave == "a log" else 60)
        assert anew.replica(tmp_path / "replica").series == (2 if leave == "a log" else 1)
        with pytest.raises(StoreWriteError, match=r"is not writable: choose another one"):
            anew.backup(disk / "backup")
        with pytest.raises(StoreWriteError, match=r"not writable"):
            anew.restore(tmp_path / "backup")
        with pytest.raises(StoreWriteError, match=r"can only be read|not writable"):
            anew.store_ohlcv_data("Z", frame, "test", "minute")
        anew.close()
    make_writable(disk)
    anew.store_ohlcv_data("Z", frame, "test", "minute")
    assert_same(anew.get_historical_prices("Z"), frame)
    anew.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "file" / "store")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot look for a store at .*: Not a directory"):
        storage.list_series()
    with pytest.raises(StoreWriteError, match=r"cannot be created .*LUMIBOT_DUCKDB_PATH"):
        storage.store_ohlcv_data("X", minute_bars(), "test", "minute")


def test_reading_where_there_is_no_store_makes_none(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "new")
    assert storage.list_series() == []
    assert storage.statistics().rows == 0
    assert storage.delete_series("X") == 0
    with pytest.raises(SeriesNotFoundError, match=r"no store at .*lumibot\.duckdb yet"):
        storage.get_historical_prices("X")
    for use in (lambda: storage.sql("SELECT 1"), storage.verify, storage.compact):
        with pytest.raises(StoreNotFoundError, match="there is no store at"):
            use()
    assert not (tmp_path / "new").exists()
