"""`compact`: the store becomes smaller, and keeps its bars."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from cli.files import Command
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.upkeep import automatic_upkeep
from storage.frames import assert_same, minute_bars
from templates import template

FRAME = minute_bars(rows=20_000)


@template
def after_a_deletion(storage: DuckDBDataStorage) -> None:
    for symbol in ("AAPL", "MSFT", "IBM"):
        storage.store_ohlcv_data(symbol, FRAME, "test", "minute")
    storage.store_ohlcv_data("AAPL", FRAME * 2, "test", "minute")
    storage.delete_series("MSFT")


@pytest.fixture
def scattered(command: Command) -> Command:
    after_a_deletion(command.store)
    return command


def test_what_is_deleted_takes_no_more_space(scattered: Command) -> None:
    before = scattered.store.stat().st_size
    ended = scattered("compact")
    after = scattered.store.stat().st_size
    assert (ended.code, ended.err) == (0, "")
    assert after < before
    assert ended.out.splitlines() == [
        f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB after, 60,000 bars of all versions.",
        "A read of 20 days goes through 1.0 row groups, before 1.0.",
    ]
    assert_same(scattered.bars("AAPL"), FRAME * 2)
    assert_same(scattered.bars("IBM"), FRAME)
    assert scattered.storage().verify().findings == []


def test_superseded_versions_are_kept_for_some_days(scattered: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(timezone.utc)
    monkeypatch.setattr(clock, "utc_now", lambda: now + timedelta(days=5))
    kept = json.loads(scattered("compact", "--keep", "6", "--json").out)
    assert (kept["rows"], kept["rows_removed"], kept["versions_removed"]) == (60_000, 0, 0)
    ended = scattered("compact", "--keep", "4")
    assert ended.out.splitlines()[2:] == ["Removed 1 superseded version with 20,000 bars."]


def test_a_dry_run_shows_what_would_be_gained_and_changes_nothing(scattered: Command) -> None:
    before = scattered.store.read_bytes()
    ended = scattered("compact", "--dry-run")
    found = json.loads(scattered("compact", "--dry-run", "--json").out)
    assert (ended.code, ended.err) == (0, "")
    assert scattered.store.read_bytes() == before
    space, reading = ended.out.splitlines()
    assert found["bars_unneeded"] > 0
    assert f"{found['bars_unneeded']:,} of {found['bars']:,} bars are deleted or superseded" in space
    assert "goes through 1.0 row groups" in reading
    gained = json.loads(scattered("compact", "--json").out)
    assert {**gained["before"], "bytes_free": found["bytes_free"]} == found
    assert (gained["after"]["bars"], gained["after"]["bars_unneeded"]) == (60_000, 0)


def test_status_mentions_a_fragmented_store(scattered: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    scattered("config", "set", "compact.threshold", "1.1")
    assert "fragmented" not in scattered("status").out
    monkeypatch.setattr(automatic_upkeep, "SMALLEST_BYTES", 1000)
    assert "It is fragmented: `lumibot-duckdb compact`" in scattered("status").out
    scattered("compact")
    assert "fragmented" not in scattered("status").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 1, "there is no store at"),
        (("--dry-run",), 1, "there is no store at"),
        (("--keep", "x"), 2, "'x' is not an age"),
    ],
)
def test_mistakes(command: Command, arguments: tuple[str, ...], code: int, message: str) -> None:
    ended = command("compact", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert not command.store.exists()
