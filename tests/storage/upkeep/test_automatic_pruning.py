"""Automatic pruning: off unless it is configured, at the end of a program that wrote, once a day."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.upkeep.automatic_pruning import prune_if_due
from storage.frames import minute_bars

OLD = minute_bars("2014-01-02 09:30", rows=60)
PROGRAM = textwrap.dedent("""
    import logging, sys
    from lumibot_duckdb import DuckDBDataStorage
    from storage.frames import minute_bars
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    storage = DuckDBDataStorage(sys.argv[1])
    storage.store_ohlcv_data(sys.argv[2], minute_bars("2014-01-03 09:30", rows=60), "test", "minute")
    pin = storage.pin("A")
    storage.store_ohlcv_data("A", minute_bars("2014-01-06 09:30", rows=60), "test", "minute", onto=pin.version_id)
    print(len(storage.read_pandas(pin)), "bars read")
""")


def rows(storage: DuckDBDataStorage) -> dict[str, int]:
    return {info.key.asset.symbol: info.rows for info in storage.list_series()}


def run(storage: DuckDBDataStorage, symbol: str) -> str:
    storage.close()
    command = [sys.executable, "-c", PROGRAM, str(storage.path), symbol]
    tests = Path(__file__).parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tests)
    assert "bars read" in ended.stdout
    return ended.stderr


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    storage.settings.set("prune.rules", "365d")
    storage.store_ohlcv_data("A", OLD, "test", "minute")
    return storage


def test_a_program_prunes_when_it_ends_and_once_a_day(filled: DuckDBDataStorage) -> None:
    filled.settings.set("prune.automatic", "on")
    assert "pruned" in run(filled, "A")
    assert rows(filled) == {}
    assert "pruned" not in run(filled, "A")
    assert rows(filled) == {"A": 120}
    assert filled.verify().findings == []


def test_a_change_of_settings_is_no_write_after_which_a_program_prunes(filled: DuckDBDataStorage) -> None:
    filled.close()
    program = (
        "import sys; from lumibot_duckdb import DuckDBDataStorage as S; S(sys.argv[1]).settings.set(*sys.argv[2:])"
    )
    subprocess.run([sys.executable, "-c", program, str(filled.path), "prune.automatic", "on"], check=True)
    assert rows(filled) == {"A": 60}


def test_it_is_off_by_default(filled: DuckDBDataStorage) -> None:
    assert "pruned" not in run(filled, "A")
    assert rows(filled) == {"A": 180}


def test_programs_that_still_run_keep_their_pins(filled: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.store_ohlcv_data("A", minute_bars("2200-01-02 09:30", rows=3), "test", "minute")
    pin = filled.pin("A")
    prune_if_due(filled._store)
    assert rows(filled) == {"A": 3}
    assert len(DuckDBDataStorage(filled.path).read_pandas(pin)) == 63
    now = clock.utc_now()
    for days, versions in ((-400, 2), (2, 1)):  # a clock that was set back, then another day
        monkeypatch.setattr(clock, "utc_now", lambda days=days: now + dt.timedelta(days))
        prune_if_due(filled._store)
        assert filled.statistics().versions == versions
    assert filled.verify().findings == []
