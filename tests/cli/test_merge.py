"""`merge`: what is printed, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import assert_same, minute_bars

FRAME = minute_bars(rows=60)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    storage = DuckDBDataStorage(tmp_path / "ü b e r" / "lumibot.duckdb")
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute")
    storage.store_ohlcv_data("MSFT", FRAME, "polygon", "minute")
    storage.close()
    return storage.path


def test_a_new_store(command: Command, other: Path) -> None:
    shown = command("merge", other.parent, "--dry-run")
    assert not command.store.exists()
    ended = command("merge", other)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == ("2 series read: 2 added, 0 changed, 0 unchanged.\n120 bars added, 0 changed.\n")
    assert shown.out.replace("would be ", "") == ended.out
    assert_same(command.bars("AAPL"), FRAME)
    assert command("merge", other).out == "2 series read: 0 added, 0 changed, 2 unchanged.\n0 bars added, 0 changed.\n"


def test_conflicts(command: Command, other: Path) -> None:
    storage = command.storage()
    storage.store_ohlcv_data("AAPL", FRAME[:30] + 1, "polygon", "minute")
    storage.close()
    refused = command("merge", other, "--refuse-conflicts")
    assert (refused.code, refused.out) == (1, "")
    assert "was not merged, because 30 bars have other values there. The first is that of AAPL stock" in refused.err
    assert "Without --refuse-conflicts, the bar that was requested later is kept" in refused.err
    ended = command("merge", other)
    lines = ended.out.splitlines()
    assert lines[:3] == [
        "2 series read: 1 added, 1 changed, 0 unchanged.",
        "90 bars added, 0 changed.",
        "30 bars have other values in both stores; those requested later are kept. The first:",
    ]
    assert lines[3] == (
        "  AAPL stock, minute bars from polygon, 2024-01-02 09:30:00 New York time: close is 101.01 here, 100.01 there"
    )
    assert len(lines) == 8
    printed = json.loads(command("merge", other, "--json").out)
    assert (printed["conflicts"], printed["bars_changed"], printed["left_out"]) == (30, 0, [])
    assert printed["examples"][0]["time"] == int(FRAME.index[0].timestamp())


def test_what_is_left_out(command: Command, other: Path) -> None:
    storage = command.storage()
    storage.store_ohlcv_data("AAPL", FRAME.astype({"volume": str}), "polygon", "minute")
    storage.close()
    ended = command("merge", other)
    assert ended.code == 0
    assert "Left out of AAPL stock, minute bars from polygon: its columns do not fit those of this store" in ended.out


def test_files_that_are_refused(command: Command, other: Path, tmp_path: Path) -> None:
    command("merge", other)
    junk = tmp_path / "junk.duckdb"
    junk.write_text("no store\n" * 1000)
    (tmp_path / "folder").mkdir()
    with duckdb.connect(tmp_path / "tables.duckdb") as tables:
        tables.execute("CREATE TABLE other (i INTEGER)")
    for file, code, message in (
        (command.store, 1, "is this store itself"),
        (tmp_path / "none.duckdb", 1, "there is no store at"),
        (junk, 3, "is a text file, not a store: if it has bars, `lumibot-duckdb import` reads them"),
        (tmp_path / "folder", 1, "is a folder, not a store"),
        (
            tmp_path / "tables.duckdb",
            3,
            "cannot be merged: the file is a DuckDB database but not a lumibot-duckdb store",
        ),
    ):
        ended = command("merge", file)
        assert (ended.code, ended.out) == (code, "")
        assert message in ended.err
        assert ended.err.count("\n") == 1
    assert command("merge").code == 2


def test_import_refers_to_it(command: Command, other: Path) -> None:
    ended = command("import", other)
    assert ended.code == 1
    assert "it is a DuckDB database: if it is a store, `lumibot-duckdb merge` adds its bars" in ended.out
