"""`forget`: what was requested is requested again, and no bar is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from storage.frames import minute_bars
from templates import template

FRAME = minute_bars(rows=60)
START = int(FRAME.index[0].timestamp())
WIDER = TimeRange(START, START + 7200)
AFTER = TimeRange(START + 3600, START + 7200)


@template
def several(storage: DuckDBDataStorage) -> None:
    for source, timeframe in (("polygon", "minute"), ("alpaca", "minute"), ("polygon", "5minute")):
        storage.store_ohlcv_data("AAPL", FRAME, source, timeframe, covered=WIDER, provisional=[AFTER])
    storage.store_ohlcv_data("MSFT", FRAME, "polygon", "minute", covered=WIDER)


@pytest.fixture
def filled(command: Command) -> Command:
    several(command.store)
    return command


def covered(path: Path) -> dict[str, tuple[TimeRange, ...]]:
    storage = DuckDBDataStorage(path)
    found = {info.key.label(): info.coverage for info in storage.list_series()}
    assert all(info.rows == 60 for info in storage.list_series())
    storage.close()
    return found


def test_only_the_series_that_are_meant(filled: Command) -> None:
    before = covered(filled.store)
    ended = filled("forget", "aapl", "--source", "Polygon", "--timeframe", "1min")
    assert (ended.code, ended.err) == (0, "")
    after = covered(filled.store)
    assert after.pop("AAPL stock, minute bars from polygon") == ()
    assert after.items() < before.items()
    assert ended.out.splitlines()[0] == "AAPL stock, minute bars from polygon:"
    assert ended.out.splitlines()[-1] == (
        "1 range of 1 series forgotten; the next backtest requests them again. All 60 bars stay."
    )


def test_a_dry_run_shows_the_same_and_changes_nothing(filled: Command) -> None:
    before = covered(filled.store)
    shown = filled("forget", "AAPL", "MSFT", "--dry-run")
    assert shown.code == 0
    assert covered(filled.store) == before
    assert "4 ranges of 4 series would be forgotten. All 240 bars would stay." in shown.out
    done = filled("forget", "AAPL", "MSFT")
    assert done.out.splitlines()[:-1] == shown.out.splitlines()[:-1]
    assert set(covered(filled.store).values()) == {()}
    assert filled("forget", "AAPL").out.splitlines() == [
        "Nothing of this is covered, so the next backtest requests it anyway."
    ]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--from", "2024-01-02 10:00", "--to", "2024-01-02 10:10"), [(0, 1_800), (2_400, 7_200)]),
        (("--from", "2024-01-02T15:00:00+00:00"), [(0, 1_800)]),
        (("--to", "2024-01-02 10:00"), [(1_800, 7_200)]),
        (("--to", "2024-01-02"), []),
        (("--until", "2024-01-02 10:00"), [(1_800, 7_200)]),
        (("--to", "9999-12-31"), []),
        (("--from", "2024-01-03"), [(0, 7_200)]),
    ],
)
def test_a_part_is_forgotten(filled: Command, options: tuple[str, ...], left: list[tuple[int, int]]) -> None:
    assert FRAME.index[0].isoformat() == "2024-01-02T09:30:00-05:00"
    assert filled("forget", "MSFT", *options).code == 0
    found = covered(filled.store)["MSFT stock, minute bars from polygon"]
    assert found == tuple(TimeRange(START + a, START + b) for a, b in left)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("NONE",), 1, "the store has no bars of NONE"),
        (("MSFT", "--source", "yahoo"), 1, "no series matches --source yahoo; there is MSFT stock, minute bars"),
        (("MSFT", "--timeframe", "fortnight"), 2, "'fortnight' is not a timeframe"),
        (("MSFT", "--from", "monday"), 2, "--from monday: write a date as 2024-01-31"),
        (("MSFT", "--from", "2024-02-01", "--to", "2024-01-01"), 2, "--to 2024-01-01 is not after --from 2024-02-01"),
        (("MSFT", "--until", ""), 2, "--to '': write a date"),
    ],
)
def test_mistakes_are_explained(filled: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = filled("forget", *arguments)
    assert ended.code == code
    assert message in ended.err


def test_without_a_store_there_is_nothing_to_forget(command: Command) -> None:
    ended = command("forget", "AAPL")
    assert ended.code == 1
    assert "there is no store at" in ended.err
    assert not command.store.exists()


def test_status_shows_what_is_provisional(filled: Command) -> None:
    shown = filled("status", "AAPL").out
    assert "  of which these are provisional:\n    2024-01-02 10:30 to 2024-01-02 11:30, expires 20" in shown
    assert "provisional" not in filled("status", "MSFT").out
