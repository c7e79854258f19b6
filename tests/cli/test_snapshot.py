"""`snapshot` and `config`."""

from __future__ import annotations

import json

import pytest

from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars
from templates import template

FRAME = minute_bars(rows=60)


@template
def one_series(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("AAPL", minute_bars(rows=5), "test", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    one_series(command.store)
    return command


def test_snapshots_are_made_listed_and_deleted(filled: Command) -> None:
    assert filled("snapshot").out == "The store has no snapshots.\n"
    assert filled("snapshot", "one").out == "Snapshot one made.\n"
    listed = filled("snapshot").out.splitlines()
    assert listed[2].split()[0] == "one"
    assert listed[-1] == "1 snapshot. Times are New York time."
    (snapshot,) = json.loads(filled("snapshot", "--json").out)["snapshots"]
    assert (snapshot["name"], snapshot["last_ingest"]) == ("one", 1)
    assert filled("snapshot", "one", "--delete", "--dry-run").out == "Snapshot one would be deleted.\n"
    refused = filled("snapshot", "one", "--delete")
    assert (refused.code, "nobody can answer" in refused.err) == (2, True)
    assert len(json.loads(filled("snapshot", "--json").out)["snapshots"]) == 1
    assert filled("snapshot", "one", "--delete", "--yes").out == "Snapshot one deleted.\n"
    assert json.loads(filled("snapshot", "--json").out) == {"snapshots": []}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("2024-01-02",), 1, "'2024-01-02' cannot name a snapshot"),
        (("known",), 1, "there is a snapshot 'known' already"),
        (("knwon", "--delete", "--yes"), 1, "did you mean 'known'?"),
        (("knwon", "--delete", "--dry-run"), 1, "did you mean 'known'?"),
        (("--delete",), 2, "--delete needs the NAME"),
        (("new", "--dry-run"), 2, "--dry-run is for --delete"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    assert filled("snapshot", "known").code == 0
    ended = filled("snapshot", *arguments)
    assert ended.code == code
    assert message in ended.err
    assert [each.name for each in filled.storage().snapshots()] == ["known"]


def test_there_is_no_store(command: Command) -> None:
    for arguments in ((), ("one",), ("one", "--delete")):
        ended = command("snapshot", *arguments)
        assert (ended.code, command.store.exists()) == (1, False)


def test_settings_are_set_and_unset(command: Command) -> None:
    assert command("config", "get", "versions.keep").out == "1d\n"
    missing = command("config", "set", "prune.max-size", "1500 MB")
    assert (missing.code, missing.err) == (1, no_store(command))
    assert not command.store.exists()
    command.storage().store_ohlcv_data("AAPL", FRAME, "test", "minute")
    assert command("config", "set", "prune.max-size", "1500 MB").out == "prune.max-size = 1500MB\n"
    assert command("config", "get", "prune.max-size").out == "1500MB\n"
    listed = json.loads(command("config", "--json").out)
    assert listed["prune.max-size"] == {"value": "1500MB", "set": True}
    assert listed["prune.automatic"] == {"value": "off", "set": False}
    assert command("config", "unset", "prune.max-size").out == "prune.max-size = none\n"
    assert "default" in command("config").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "prune.rule", "1d"), "no setting 'prune.rule'; did you mean prune.rules?"),
        (("get", "x"), "no setting 'x'"),
        (("set", "versions.keep", "1"), "versions.keep cannot be '1': '1' is not an age"),
        (("set", "versions.keep"), "config set takes a KEY and a VALUE"),
        (("get",), "config get takes a KEY"),
        (("list", "versions.keep"), "config list takes no KEY"),
        (("sett", "versions.keep", "1d"), "did you mean set?"),
    ],
)
def test_mistakes_in_settings(command: Command, arguments: tuple[str, ...], message: str) -> None:
    command.storage().store_ohlcv_data("AAPL", FRAME, "test", "minute")
    ended = command("config", *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert set(command.storage().settings.set_values()) == set()


def test_automatic_pruning_says_what_it_will_remove(command: Command) -> None:
    storage = command.storage()
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute")
    storage.close()
    assert command("config", "set", "prune.rules", "30d").err == ""
    ended = command("config", "set", "prune.automatic", "on")
    assert ended.err == (
        f"The next program that writes to the store will remove {len(FRAME)} bars of 1 series "
        "(lumibot-duckdb prune --dry-run lists them).\n"
    )
    assert len(command.bars()) == len(FRAME)


def test_rules_that_name_what_is_unknown_are_reported(command: Command) -> None:
    storage = command.storage()
    storage.store_ohlcv_data("AAPL", FRAME, "mine", "10minute")
    storage.close()
    assert command("config", "set", "prune.rules", "1d source=mine timeframe=10min; 2d source=yahoo; 3d").err == ""
    ended = command("config", "set", "prune.rules", "1d source=yaho; 2d timeframe=13min; 3d")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "The rule '1d source=yaho' applies to no series: the store has no source yaho; did you mean yahoo?",
        "The rule '2d timeframe=13minute' applies to no series: the store has no timeframe 13minute; "
        "did you mean 30minute?",
    ]
    refused = command("config", "set", "prune.rules", "3d; 1d source=mine")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "the rule '1d source=mine' never applies, because '3d' before it" in refused.err
    assert command("config", "get", "prune.rules").out == "1d source=yaho; 2d timeframe=13minute; 3d\n"
