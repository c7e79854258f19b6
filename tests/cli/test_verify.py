"""`verify`: names what is wrong, repairs it after a question, and undoes a repair."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.files import Command, Ended
from cli.test_delete import answering
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.damage import blocks_by_table, corrupt
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars(rows=200)
KEY = "AAPL stock, minute bars from test"
DOUBLE = "INSERT INTO {db}.bar SELECT * FROM {db}.bar WHERE version_id = 1 LIMIT 1"
CHANGE = "UPDATE {db}.bar SET close = close + 0.01 WHERE version_id = 1 AND ts = TIMESTAMP_S '2024-01-02 15:00:00'"


@template
def two_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute")
    storage.store_ohlcv_data("MSFT", FRAME, "other", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    two_series(command.store)
    return command


def damage(command: Command, sql: str) -> None:
    storage = command.storage()
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute(sql)
    storage.close()


def test_a_sound_store(filled: Command) -> None:
    ended = filled("verify")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "2 series with 400 bars in the store: 0 errors, 0 warnings, 0 notes.\n"
    assert filled("verify", "--repair").out == "Nothing is damaged.\n"


def test_errors(filled: Command) -> None:
    damage(filled, CHANGE)
    ended = filled("verify", "MSFT")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        f"error: checksums: {KEY}: the bars of version 1 are not those that were stored",
        "    2023-12-21 to 2024-02-23: column close",
        "  repair: --repair lets the next backtest request these bars again, and keeps what is there until then",
        "",
        "2 series with 400 bars in the store: 1 error, 0 warnings, 0 notes.",
    ]


def test_warnings_are_no_failure(filled: Command) -> None:
    storage = filled.storage()
    storage.store_ohlcv_data("AAPL", FRAME.iloc[20:40].assign(volume=-1), "test", "minute")
    storage.close()
    ended = filled("verify")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:2] == [f"warning: impossible_bars: {KEY}: the volume is negative (20)", "    2024-01-02 09:50"]
    assert lines[11:13] == [
        "    and more: 20 in all",
        "  repair: --drop-bad-bars removes them, and the next backtest requests them again",
    ]
    for options in (("MSFT",), ("--source", "other")):
        assert filled("verify", *options).out.endswith("0 errors, 0 warnings, 0 notes.\n")


def test_json(filled: Command) -> None:
    damage(filled, CHANGE)
    printed: dict[str, Any] = json.loads(filled("verify", "--json").out)
    assert (printed["series"], printed["bars"], printed["sound"]) == (2, 400, False)
    (finding,) = printed["findings"]
    assert (finding["severity"], finding["check"], finding["series"]["symbol"]) == ("error", "checksums", "AAPL")
    assert finding["bars"][0]["note"] == "column close"
    repaired: dict[str, Any] = json.loads(filled("verify", "--repair", "--yes", "--json").out)
    (repair,) = repaired["repairs"]
    assert (repaired["dry_run"], repair["series"]["symbol"], repaired["left"]["findings"]) == (False, "AAPL", [])
    undone = json.loads(filled("verify", "--undo", str(repair["repair_id"]), "--json").out)
    assert (undone["undone"], undone["series"]["symbol"]) == (repair["repair_id"], "AAPL")


def test_a_repair_and_its_undoing(filled: Command) -> None:
    damage(filled, DOUBLE)
    planned = filled("verify", "--repair", "--dry-run")
    assert (planned.code, planned.out.splitlines()[-1]) == (0, "1 repair would be made.")
    assert filled("verify").code == 1
    ended = filled("verify", "--repair", "--yes")
    assert (ended.code, ended.err) == (0, "")
    *_, made, undo = ended.out.splitlines()
    assert (made, undo) == ("1 repair made.", f"  to undo the repair of {KEY}: --undo 3")
    assert_same(filled.bars("AAPL"), FRAME)
    assert filled("verify").code == 0
    undone = filled("verify", "--undo", "3")
    assert undone.out == f"{KEY} has the bars and the coverage from before repair 3 again.\n"
    assert filled("verify").code == 1


def test_a_repair_says_what_was_lost(command: Command) -> None:
    storage = command.storage()
    frame = minute_bars(rows=20_000)
    storage.store_ohlcv_data(
        "AAPL", frame.assign(bid=frame["close"] - 0.01, ask=frame["close"] * 1.001), "test", "minute"
    )
    storage.close()  # which folds the log into the file
    blocks = blocks_by_table(storage)
    storage.close()
    corrupt(command.store, max(blocks.pop("bar").difference(*blocks.values())))
    verified = filled_lines(command("verify"))
    assert verified[-1].startswith("1 series with 20,000 bars in the store: ")
    assert verified[-1].endswith(" Nothing else was checked, since not everything can be read.")
    ended = command("verify", "--repair", "--yes")
    planned, salvaged, repaired, requested, *_, made, imported = filled_lines(ended)
    assert planned.endswith("what can be read is copied into a new file")
    lost = 20_000 - len(command.bars("AAPL"))
    assert lost > 0
    assert f": {lost:,} bars could not be read and are lost; the damaged file is kept as {command.store}" in salvaged
    assert repaired.startswith(f"{KEY}: ")
    assert requested.endswith("is requested again")
    assert made.endswith(" repairs made.")
    assert imported == "  Bars that you imported are not requested again: import them again."
    assert command("verify").code == 0


def filled_lines(ended: Ended) -> list[str]:
    return [line for line in ended.out.splitlines() if line]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_it_asks_on_a_terminal(filled: Command, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    damage(filled, DOUBLE)
    answering(monkeypatch, answer)
    ended = filled("verify", "--repair")
    assert ended.code == code
    assert ended.err.startswith("Make 1 repair? [y/N] ")
    assert filled("verify").code == code


def test_bad_bars_are_dropped_on_request(filled: Command) -> None:
    storage = filled.storage()
    storage.store_ohlcv_data("AAPL", FRAME.iloc[[5]].assign(volume=-1), "test", "minute")
    storage.close()
    assert filled("verify", "--repair").out == "Nothing is damaged.\n"
    assert filled("verify", "MSFT", "--repair", "--drop-bad-bars").out == "Nothing is damaged.\n"
    ended = filled("verify", "--repair", "--drop-bad-bars", "--yes")
    assert ended.code == 0
    assert "    2024-01-02 09:35 to 2024-01-02 09:36 is requested again" in ended.out.splitlines()
    assert_same(filled.bars("AAPL"), FRAME.drop(FRAME.index[5]))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("NONE",), 1, "the store has no bars of NONE"),
        (("--source", "yahoo"), 1, "no series matches --source yahoo"),
        (("--drop-bad-bars",), 2, "--drop-bad-bars is an option of --repair"),
        (("--dry-run",), 2, "--dry-run is an option of --repair"),
        (("--yes",), 2, "--yes is an option of --repair"),
        (("--repair", "--undo", "3"), 2, "--undo and --repair exclude each other"),
        (("--undo", "1"), 1, "there is no repair 1; the store has none that can be undone"),
        (("AAPL", "--undo", "1"), 2, "leave out SYMBOL"),
        (("--undo", "x"), 2, "'x' is not a whole number"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("verify", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err


@pytest.mark.parametrize("options", [(), ("--repair",), ("--undo", "3")])
def test_without_a_store(command: Command, options: tuple[str, ...]) -> None:
    ended = command("verify", *options)
    assert (ended.code, ended.out) == (1, "")
    remedy = "import bars into it (lumibot-duckdb import), or name another with --store"
    assert ended.err == f"lumibot-duckdb: there is no store at {command.store} yet: {remedy}\n"
    assert not command.store.exists()
