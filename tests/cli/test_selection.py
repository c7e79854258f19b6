"""The options that choose series mean the same in every command."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from storage.frames import minute_bars

FRAME = minute_bars(rows=3)
CALL = AssetKey("SPY", "option", expiration=date(2024, 1, 19), strike=470.0, right="CALL")
COMMANDS = {
    "status": ("status", "--json"),
    "verify": ("verify", "--json"),
    "delete": ("delete", "--dry-run", "--json"),
    "forget": ("forget", "--dry-run", "--json"),
    "prune": ("prune", "--older-than", "1d", "--dry-run", "--json"),
    "export": ("export", "--to", "exported", "--dry-run", "--json"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("store"))
    for asset, source, adjustment in (
        ("SPY", "polygon", "split"),
        ("SPY", "yahoo", ""),
        (CALL, "polygon", ""),
        ("SPYG", "yahoo", ""),
        ("BTC/USD", "ccxt", ""),
        ("A*", "mine", ""),
        ("AB", "mine", ""),
    ):
        storage.store_ohlcv_data(asset, FRAME, source, "minute", adjustment=adjustment)
    storage.close()
    return storage.path


@pytest.fixture
def filled(command: Command, template: Path) -> Command:
    command.store.parent.mkdir()
    shutil.copy(template, command.store)
    return command


def chosen(command: Command, name: str, *options: str) -> set[tuple[str, str, str]] | str:
    """Return symbol, type and source of the series that a command chooses, or the error."""
    ended = command(*COMMANDS[name], *options)
    if ended.code:
        assert (ended.out, ended.err.count("\n")) == ("", 1)
        return ended.err.removeprefix("lumibot-duckdb: ").strip()
    printed = json.loads(ended.out)
    if name == "verify":  # says what is wrong with the series, and nothing is
        return set()
    key = {"status": "series", "delete": "deleted", "forget": "forgotten", "prune": "pruned", "export": "files"}[name]
    found: set[tuple[str, str, str]] = {(each["symbol"], each["asset_type"], each["source"]) for each in printed[key]}
    return found


STOCKS = {("SPY", "stock", "polygon"), ("SPY", "stock", "yahoo")}
OPTION = {("SPY", "option", "polygon")}
GROWTH = {("SPYG", "stock", "yahoo")}


SELECTIONS: list[tuple[tuple[str, ...], set[tuple[str, str, str]] | str]] = [
    (("SPY*",), STOCKS | OPTION | GROWTH),
    (("spy* stock", "--source", "Yahoo"), {("SPY", "stock", "yahoo")} | GROWTH),
    (("SPY * option",), OPTION),
    (("SPY option",), OPTION),
    (("SPY240119C00470000", "*/USD"), OPTION | {("BTC", "crypto", "ccxt")}),
    (("btc-usd",), {("BTC", "crypto", "ccxt")}),
    (("SPY stock, minute bars from polygon (split)",), {("SPY", "stock", "polygon")}),
    (("--source", "yahoo"), {("SPY", "stock", "yahoo")} | GROWTH),
    (("--adjustment", "split"), {("SPY", "stock", "polygon")}),
    (("spy", "--adjustment", "", "--timeframe", "1min"), {("SPY", "stock", "yahoo")} | OPTION),
    (("A[*]",), {("A*", "stock", "mine")}),
    (("X*", "SPY"), "no symbol in the store matches X*; there are A*, AB, BTC/USD, SPY, SPYG, SPY240119C00470000"),
    (("SYP*",), "no symbol in the store matches SYP*; did you mean SPY?"),
    (
        ("A*",),
        "A* is a symbol in the store, and a pattern that matches others: write A[*] for the symbol alone, or",
    ),
    (("--source", "yaho"), "no series matches --source yaho; did you mean yahoo?"),
    (("SPYG", "--source", "ccxt"), "no series matches --source ccxt; there is SPYG stock, minute bars from yahoo"),
    (("--timeframe", "minit"), "--timeframe 'minit' is not a timeframe"),
    (("--timeframe", "day"), "no series matches --timeframe day; there are "),
    (("SPY option", "--source", "polygon", "--adjustment", "split"), "no series matches --adjustment split"),
    (("AB", "spy", "--source", "mine", "--adjustment", "split"), "no series matches these options; there are "),
]


@pytest.mark.parametrize("number", range(len(SELECTIONS)))
def test_every_command_chooses_the_same(filled: Command, number: int) -> None:
    options, series = SELECTIONS[number]
    others = [name for name in COMMANDS if name != "prune"]  # prune chooses by a rule, the others from a list
    for name in ("prune", others[number % len(others)]):
        found = chosen(filled, name, *options)
        if isinstance(series, str):
            assert isinstance(found, str), name
            assert found.startswith(series), name
        else:
            assert found == (set() if name == "verify" else series), name


@pytest.mark.parametrize("name", ["delete", "forget"])
def test_the_whole_store_is_never_meant_by_mistake(filled: Command, name: str) -> None:
    refused = chosen(filled, name)
    assert refused == (
        f"nothing says what to {name}: name a SYMBOL, or choose with --source, --timeframe or --adjustment "
        "(SYMBOL '*' chooses everything)"
    )
    assert len(chosen(filled, name, "*")) == 7


def test_a_source_is_deleted(filled: Command) -> None:
    refused = filled("delete", "--source", "yahoo")
    assert (refused.code, "Delete 2 series with 6 bars? Nothing was changed" in refused.err) == (2, True)
    assert filled("delete", "--source", "yahoo", "--yes").code == 0
    storage = filled.storage()
    assert {info.key.source for info in storage.list_series()} == {"polygon", "ccxt", "mine"}
    storage.close()
