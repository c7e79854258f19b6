"""Fixtures for the tests of the doctor."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage
from storage.frames import minute_bars


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The path of a store with bars that no process has open."""
    storage = DuckDBDataStorage(tmp_path / "store")
    storage.store_ohlcv_data("AAPL", minute_bars(), "test", "minute")
    storage.close()
    return storage.path


@pytest.fixture
def clean_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without settings, in an empty folder."""
    from lumibot_duckdb.doctor.settings import KEYS, SETTINGS

    for name in (*(setting.variable for setting in SETTINGS), *KEYS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LUMIBOT_DISABLE_DOTENV", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
