"""`backup`, `restore` and `replica`: what they print, refuse and ask."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from cli.files import Command
from faults.operations import spool
from lumibot_duckdb.cli import restore
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars(rows=60)
LATER = minute_bars("2024-01-03 09:30", rows=5, seed=1)


@template
def two_series(storage: DuckDBDataStorage) -> None:
    for symbol in ("AAPL", "MSFT"):
        storage.store_ohlcv_data(symbol, FRAME, "test", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    two_series(command.store)
    return command


def store(command: Command, *symbols: str) -> None:
    storage = command.storage()
    for symbol in symbols:
        storage.store_ohlcv_data(symbol, FRAME, "test", "minute")
    storage.close()


def symbols(command: Command) -> list[str]:
    return [info.key.asset.symbol for info in command.storage().list_series()]


def size_of(file: Path) -> str:
    return f"{file.stat().st_size / 1000:.1f} KB"


def test_a_backup_is_made_and_restored(filled: Command) -> None:
    file = filled.folder / "mein bäckup.duckdb"
    ended = filled("backup", file.name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"Backed up 2 series with 120 bars of all versions to {file}, {size_of(file)}.\n"
    storage = filled.storage()
    storage.delete_series("AAPL")
    changed = FRAME.copy()
    changed.iloc[0, 4] += 1
    storage.store_ohlcv_data("MSFT", changed, "test", "minute")
    storage.store_ohlcv_data("MSFT", LATER, "test", "minute")
    storage.store_ohlcv_data("IBM", FRAME, "test", "minute")
    storage.close()
    dry = filled("restore", file.name, "--dry-run")
    listed = [
        f"{file.name} is sound: 2 series with 120 bars of all versions, {size_of(file)}.",
        "It lacks what the store has:",
        "  IBM stock, minute bars from test: the whole series, 60 bars",
        "  MSFT stock, minute bars from test: 5 bars, other values of 1 bar",
    ]
    assert dry.out.splitlines() == [*listed, f"{filled.store} would be replaced."]
    assert (dry.code, dry.err) == (0, "")
    refused = filled("restore", file.name)
    assert refused.code == 2
    assert refused.out.splitlines() == listed
    assert f"Replace {filled.store}? 66 bars of 2 series would be lost. Nothing was changed" in refused.err
    assert symbols(filled) == ["IBM", "MSFT"]
    done = filled("restore", file.name, "--yes")
    (kept,) = filled.store.parent.glob("*.replaced-*")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        *listed,
        f"{filled.store} is restored.",
        f"The store that it replaced is kept as {kept.name}.",
    ]
    assert symbols(filled) == ["AAPL", "MSFT"]
    assert_same(filled.bars("MSFT"), FRAME)
    undone = json.loads(filled("restore", kept, "--yes", "--json", "--drop-replaced").out)
    assert (undone["restored"], undone["replaces"], undone["kept_as"]) == (True, True, None)
    found = [(loss["symbol"], loss["whole"], loss["missing"], loss["different"]) for loss in undone["losses"]]
    assert found == [("AAPL", True, 60, 0), ("MSFT", False, 0, 1)]
    assert symbols(filled) == ["IBM", "MSFT"]


def test_the_list_of_losses_is_limited(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "_LISTED", 2)
    filled("backup", "b.duckdb")
    store(filled, "S1", "S2", "S3", "S4")
    out = filled("restore", "b.duckdb", "--dry-run").out.splitlines()
    assert out[2:-1] == [
        "  S1 stock, minute bars from test: the whole series, 60 bars",
        "  S2 stock, minute bars from test: the whole series, 60 bars",
        "  and bars of 2 more series",
    ]
    assert len(json.loads(filled("restore", "b.duckdb", "--dry-run", "--json").out)["losses"]) == 4


def test_what_waits_in_the_spool_is_mentioned(filled: Command) -> None:
    filled("backup", "b.duckdb")
    spool(filled.storage(), "IBM", FRAME)
    kept = filled("restore", "b.duckdb", "--dry-run").out.splitlines()
    assert kept[1:3] == [
        "It has every current bar of the store.",
        "In the spool, 1 download with 60 bars wait, which are kept beside the store that is replaced.",
    ]
    dropped = filled("restore", "b.duckdb", "--dry-run", "--drop-replaced").out
    assert "which are deleted with the store that is replaced" in dropped
    found = json.loads(filled("restore", "b.duckdb", "--dry-run", "--json").out)
    assert found["spooled"] == {"writes": 1, "bars": 60, "quarantined": 0}


def test_a_damaged_store_is_replaced(filled: Command) -> None:
    filled("backup", "b.duckdb")
    filled.store.write_bytes(b"not a store" * 1000)
    ended = filled("restore", "b.duckdb", "--yes")
    assert ended.code == 0
    assert "The store cannot be compared with it: " in ended.out
    assert symbols(filled) == ["AAPL", "MSFT"]


def test_where_there_is_no_store_nothing_is_asked(filled: Command) -> None:
    filled("backup", "b.duckdb")
    other = Command(filled.folder / "other", filled.capture)
    assert other("restore", "b.duckdb", "--dry-run").out.splitlines()[-1] == f"{other.store} would be created."
    ended = other("restore", "b.duckdb")
    assert (ended.code, ended.out.splitlines()[1:]) == (0, [f"{other.store} is restored."])
    assert symbols(other) == ["AAPL", "MSFT"]


def test_a_backup_replaces_a_file_only_with_yes(filled: Command) -> None:
    file = filled.folder / "b.duckdb"
    file.write_bytes(bytes(100))
    for yes in ((), ("--yes",)):
        refused = filled("backup", file, *yes)
        assert refused.code == 1
        assert refused.err.startswith(f"lumibot-duckdb: {file} is no backup of")
        assert file.read_bytes() == bytes(100)
    file.unlink()
    assert filled("backup", file).code == 0
    before = file.read_bytes()
    ended = filled("backup", file)
    assert (ended.code, ended.out) == (2, "")
    assert f"Replace {file} ({size_of(file)})? Nothing was changed" in ended.err
    assert file.read_bytes() == before
    report = json.loads(filled("backup", file, "--yes", "--json").out)
    assert report == {
        "path": str(file), "bytes": file.stat().st_size, "series": 2, "rows": 120, "spooled_bars": 0
    }  # fmt: skip
    assert len(DuckDBDataStorage(file).list_series()) == 2


def test_a_replica_is_copied_when_the_store_has_changed(filled: Command) -> None:
    file = filled.folder / "für Jupyter.duckdb"
    ended = filled("replica", file.name)
    amount = "2 series with 120 bars, "
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"Copied the current bars to {file}: {amount}{size_of(file)}.\n"
    again = filled("replica", file.name)
    assert again.out.startswith(f"The store has not changed since it was copied to {file}: {amount}")
    with duckdb.connect(str(file)) as notebook:
        rows = notebook.execute("SELECT count(*) FROM ohlcv_data").fetchone()
        assert rows == (120,)
        store(filled, "IBM")
        report = json.loads(filled("replica", file.name, "--json").out)
        assert (report["refreshed"], report["rows"], report["series"]) == (True, 180, 3)
    refused = Command(filled.folder, filled.capture)("delete", "IBM", "--yes", "--store", str(file))
    assert refused.code == 3
    assert f"this file is a replica of {filled.store}, which is only read" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("backup", "missing/b.duckdb"), 3, "there is no folder"),
        (("backup", "."), 2, "is a folder: name a file in it"),
        (("backup", "store/lumibot.duckdb"), 2, "is the store itself"),
        (("replica", "store/lumibot.duckdb"), 2, "is the store itself"),
        (("replica", "text.txt"), 1, "exists and is not a replica"),
        (("restore", "text.txt"), 3, "text.txt is a text file, not a store"),
        (("restore", "none.duckdb"), 3, "there is no file"),
        (("restore", "store"), 2, "is a folder, not a store: name the file in it, lumibot.duckdb"),
        (("restore",), 2, "required: FILE"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    (filled.folder / "text.txt").write_text("no store\n" * 5000)
    ended = filled(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert symbols(filled) == ["AAPL", "MSFT"]


@pytest.mark.parametrize("name", ["backup", "replica"])
def test_without_a_store_there_is_nothing_to_copy(command: Command, name: str) -> None:
    ended = command(name, "b.duckdb")
    assert (ended.code, ended.out) == (1, "")
    assert "there is no store at" in ended.err
    assert list(command.folder.iterdir()) == []
