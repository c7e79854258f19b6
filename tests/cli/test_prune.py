"""`prune`: shows what would go, asks, and removes it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars
from templates import template

OLD = minute_bars("2014-01-02 09:30", rows=60)
FUTURE = minute_bars("2200-01-02 09:30", rows=30)


@template
def several(storage: DuckDBDataStorage) -> None:
    for symbol, source in (("AAPL", "polygon"), ("AAPL", "alpaca"), ("BRK.A", "polygon")):
        storage.store_ohlcv_data(symbol, pd.concat([OLD, FUTURE]), source, "minute")


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def stored(command: Command) -> dict[str, int]:
    storage = command.storage()
    found = {f"{info.key.asset.symbol} {info.key.source}": info.rows for info in storage.list_series()}
    assert storage.verify().findings == []
    storage.close()
    return found


WHOLE = {"AAPL alpaca": 90, "AAPL polygon": 90, "BRK.A polygon": 90}


@pytest.mark.parametrize(
    ("options", "pruned"),
    [
        ((), set(WHOLE)),
        (("aapl",), {"AAPL alpaca", "AAPL polygon"}),
        (("BRK*", "AAPL", "--source", "Polygon"), {"AAPL polygon", "BRK.A polygon"}),
        (("--timeframe", "1min"), set(WHOLE)),
    ],
)
def test_old_bars_of_the_chosen_series(filled: Command, options: tuple[str, ...], pruned: set[str]) -> None:
    shown = filled("prune", "--older-than", "1y", *options, "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert len(lines) == len(pruned) + 2
    assert all(line.endswith(": 60 of 90 bars") for line in lines[:-2])
    assert lines[-2] == f"{60 * len(pruned)} bars of {len(pruned)} series would be removed."
    assert stored(filled) == WHOLE
    ended = filled("prune", "--older-than", "1y", *options, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:-1] == [*lines[:-2], lines[-2].replace("would be ", "")]
    assert stored(filled) == {key: 30 if key in pruned else 90 for key in WHOLE}
    assert filled("prune", "--older-than", "1y", *options).out == "There is nothing to prune.\n"


def test_nothing_without_an_answer(filled: Command) -> None:
    ended = filled("prune", "--older-than", "1y")
    assert ended.code == 2
    assert "Remove 180 bars of 3 series? Nothing was changed" in ended.err
    assert stored(filled) == WHOLE


def test_the_configured_rules(filled: Command) -> None:
    assert filled("config", "set", "prune.rules", "forever symbol=BRK*; 365d source=polygon").code == 0
    assert filled("prune", "--yes").code == 0
    assert stored(filled) == {"AAPL alpaca": 90, "AAPL polygon": 30, "BRK.A polygon": 90}


def test_a_snapshot_is_respected(filled: Command) -> None:
    assert filled("snapshot", "one").code == 0
    ended = filled("prune", "--older-than", "1y", "--source", "alpaca")
    assert ended.out.splitlines() == [
        "AAPL stock, minute bars from alpaca: 60 of 90 bars stay, because the snapshot one needs them",
        "There is nothing to prune.",
    ]
    assert stored(filled) == WHOLE
    for arguments in (("--yes",), ("--dry-run",)):
        refused = filled("delete", "AAPL", *arguments)
        assert refused.code == 1
        assert refused.out.splitlines() == [
            "AAPL stock, minute bars from alpaca: 90 bars",
            "AAPL stock, minute bars from polygon: 90 bars",
        ]
        assert (
            "AAPL stock, minute bars from alpaca; AAPL stock, minute bars from polygon cannot be deleted, because the "
            "snapshot 'one' needs them: delete the snapshot first" in refused.err
        )


def test_the_size(filled: Command) -> None:
    ended = filled("prune", "--max-size", "1KB", "--yes")
    assert ended.code == 1
    assert "That is more than 1.0 KB" in ended.out
    assert stored(filled) == WHOLE
    assert filled("prune", "--max-size", "1GB").out == "There is nothing to prune.\n"


def test_the_output_for_programs(filled: Command) -> None:
    ended = filled("prune", "--older-than", "365d", "--source", "alpaca", "--yes", "--json")
    found: dict[str, Any] = json.loads(ended.out)
    (series,) = found.pop("pruned")
    assert (series["symbol"], series["bars"], series["bars_left"]) == ("AAPL", 60, 30)
    sizes = found.pop("bytes_before"), found.pop("bytes_after")
    assert all(size > 0 for size in sizes)
    assert found == {"dry_run": False, "kept": [], "versions_removed": 0, "max_size": None, "fits": True}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "nothing says what to prune: add --older-than 365d or --max-size 20GB"),
        (("AAPL",), 2, "add --older-than 365d or --max-size 20GB"),
        (("--older-than", "1 year"), 2, "'1 year' is not an age: write days, weeks or years as 90d, 8w or 2y"),
        (("--older-than", "-1d"), 2, "--older-than"),
        (("--max-size", "20"), 2, "'20' is not a size: write 500MB, 20GB or 1.5TB"),
        (("--older-than", "1d", "XYZ*"), 1, "no symbol in the store matches XYZ*; there are AAPL, BRK.A"),
        (("--older-than", "1d", "--timeframe", "fortnight"), 2, "fortnight"),
        (("--older-than", "1d", "--source", "a b"), 2, "'a b' cannot name a source"),
    ],
)
def test_mistakes(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("prune", *arguments)
    assert ended.code == code
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert stored(filled) == WHOLE


def test_there_is_no_store(command: Command) -> None:
    ended = command("prune", "--older-than", "1d")
    assert (ended.code, command.store.exists()) == (1, False)
