from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StorageError, StoreNotFoundError, StoreWriteError
from lumibot_duckdb.storage.location import store_path
from storage.frames import minute_bars


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


@pytest.mark.parametrize("location", ["ducklake:catalog", "s3://bucket/store.duckdb"])
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
