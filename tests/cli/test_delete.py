"""`delete`: the series that are meant, after a question, and no others."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cli.files import Command, no_store
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars
from templates import template

FRAME = minute_bars(rows=60)


@template
def several(storage: DuckDBDataStorage) -> None:
    for source, timeframe in (("polygon", "minute"), ("alpaca", "minute"), ("polygon", "5minute")):
        storage.store_ohlcv_data("AAPL", FRAME, source, timeframe)
    storage.store_ohlcv_data("AAPL", FRAME, "polygon", "minute", adjustment="split")
    storage.store_ohlcv_data("MSFT", FRAME, "polygon", "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def stored(command: Command) -> set[str]:
    storage = command.storage()
    found = {info.key.label() for info in storage.list_series()}
    assert storage.verify().findings == []
    storage.close()
    return found


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--source", "Alpaca"), 3),
        (("--timeframe", "1min"), 1),
        (("--adjustment", "split"), 3),
        (("--adjustment", ""), 1),
        (("--source", "polygon", "--timeframe", "minute", "--adjustment", ""), 3),
        ((), 0),
    ],
)
def test_only_the_series_that_are_meant(filled: Command, options: tuple[str, ...], left: int) -> None:
    ended = filled("delete", "aapl", *options, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"{4 - left} series with {60 * (4 - left)} bars deleted."
    assert len(stored(filled)) == left + 1


def test_a_dry_run_changes_nothing(filled: Command) -> None:
    before = stored(filled)
    shown = filled("delete", "AAPL", "MSFT", "--dry-run")
    assert shown.code == 0
    assert shown.out.splitlines()[-1] == "5 series with 300 bars would be deleted."
    assert {line.partition(": ")[0] for line in shown.out.splitlines()[:-1]} == before == stored(filled)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_it_asks_on_a_terminal(filled: Command, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    before = stored(filled)
    answering(monkeypatch, answer)
    ended = filled("delete", "MSFT")
    assert ended.code == code
    assert ended.err.startswith("Delete 1 series with 60 bars? [y/N] ")
    assert len(stored(filled)) == len(before) - (code == 0)


def test_without_a_terminal_it_is_refused(filled: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stored(filled)
    for stdin in (io.StringIO("y\n"), None):
        monkeypatch.setattr("sys.stdin", stdin)
        ended = filled("delete", "MSFT")
        assert ended.code == 2
        assert "Nothing was changed, because nobody can answer here: add --yes" in ended.err
    assert stored(filled) == before


def test_json(filled: Command) -> None:
    ended = filled("delete", "AAPL", "--source", "alpaca", "--yes", "--json")
    printed: dict[str, Any] = json.loads(ended.out)
    assert printed["dry_run"] is False
    assert [(each["symbol"], each["source"], each["bars"]) for each in printed["deleted"]] == [("AAPL", "alpaca", 60)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("NONE", "--yes"), 1, "the store has no bars of NONE"),
        (("MSFT", "--source", "yahoo"), 1, "no series matches --source yahoo; there is MSFT stock, minute bars"),
        (("MSFT", "--timeframe", "fortnight"), 2, "'fortnight' is not a timeframe"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    before = stored(filled)
    ended = filled("delete", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert stored(filled) == before


def test_without_a_store(command: Command) -> None:
    ended = command("delete", "AAPL", "--yes")
    assert (ended.code, ended.err) == (1, no_store(command))
    assert not command.store.exists()
