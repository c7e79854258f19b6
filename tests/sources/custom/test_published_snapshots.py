"""Backtests on a published snapshot: the same bars, no downloads, and a warning or an overlay for what it lacks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage, StockSplit
from lumibot_duckdb.storage.published import opening
from parity.series import BUSINESS_DAYS, SESSIONS, walk
from sources.conftest import LetPass
from sources.custom.providers import SplitProvider
from sources.custom.test_source import bars_at, source

MINUTES = {("AAA", "minute"): walk(1, SESSIONS), ("AAA", "day"): walk(2, BUSINESS_DAYS)}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A published snapshot of what one backtest has downloaded."""
    monkeypatch.setenv("LUMIBOT_DUCKDB_SNAPSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LUMIBOT_DUCKDB_OVERLAY", raising=False)
    bars_at(source(SplitProvider(MINUTES), tmp_path / "original"), "2024-03-11 12:00")
    DuckDBDataStorage(tmp_path / "original").publish(tmp_path / "shared")
    return tmp_path / "shared"


def published(shared: Path, **settings: Any) -> tuple[Any, SplitProvider]:
    provider = SplitProvider(MINUTES)
    provider.known_splits = [StockSplit(pd.Timestamp("2024-03-01").date(), 1, 2)]  # it would restate the bars
    return source(provider, shared, **settings), provider


def test_a_backtest_reads_what_was_published(
    shared: Path, tmp_path: Path, let_pass: LetPass, caplog: pytest.LogCaptureFixture
) -> None:
    before = bars_at(source(SplitProvider(MINUTES), tmp_path / "original"), "2024-03-11 12:00", 300)
    let_pass(400)  # its provisional ranges have expired, and its splits are not those of today
    made, provider = published(shared)
    pd.testing.assert_frame_equal(bars_at(made, "2024-03-11 12:00", 300), before)
    assert provider.requests == []
    assert made.as_of == made.storage.published_as_of is not None
    assert "the snapshot that the backtest runs on" not in caplog.text


def test_what_is_missing_is_reported_once(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    made, provider = published(shared, end="2024-03-14")
    for time in ("2024-03-11 12:00", "2024-03-13 12:00", "2024-03-13 13:00"):
        bars_at(made, time)
    assert provider.requests == []
    (line,) = [each for each in caplog.messages if "the snapshot that the backtest runs on" in each]
    assert line.startswith("AAA stock, minute bars from ")
    assert "lacks bars from 2024-03-12 " in line
    assert "LUMIBOT_DUCKDB_OVERLAY" in line


def test_an_unknown_series_is_reported(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    from lumibot.entities import Asset

    made, provider = published(shared)
    bars_at(made, "2024-03-11 12:00", asset=Asset("BBB"))
    assert provider.requests == []
    assert "BBB stock, minute bars from" in caplog.text


def test_an_overlay_downloads_what_is_missing(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LUMIBOT_DUCKDB_OVERLAY", str(tmp_path / "overlay"))
    provider = SplitProvider(MINUTES)
    found = bars_at(source(provider, shared, end="2024-03-14"), "2024-03-13 12:00", 900)
    starts = [start for start, _ in provider.answered]
    assert min(starts) == pd.Timestamp("2024-03-12", tz="America/New_York").timestamp()
    alone = bars_at(source(SplitProvider(MINUTES), tmp_path / "alone", end="2024-03-14"), "2024-03-13 12:00", 900)
    pd.testing.assert_frame_equal(found, alone)
    assert "lacks bars" not in caplog.text
    monkeypatch.setattr(opening, "_opened", {})
    again = SplitProvider(MINUTES)
    pd.testing.assert_frame_equal(bars_at(source(again, shared, end="2024-03-14"), "2024-03-13 12:00", 900), alone)
    assert again.requests == []
