"""Automatic upkeep: off unless it is configured, at the end of a program that wrote, once a day."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import StoreWriteError
from lumibot_duckdb.storage.upkeep import automatic_upkeep, compaction
from lumibot_duckdb.storage.upkeep.automatic_upkeep import compact_if_due, prune_if_due
from storage.frames import minute_bars
from storage.held_store import locked

OLD = minute_bars("2014-01-02 09:30", rows=60)
PROGRAM = textwrap.dedent("""
    import logging, sys
    from lumibot_duckdb import DuckDBDataStorage
    from storage.frames import minute_bars
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from lumibot_duckdb.storage.upkeep import automatic_upkeep, fragmentation
    automatic_upkeep.SMALLEST_BYTES = int(sys.argv[3])
    fragmentation._ROW_GROUP = 300
    storage = DuckDBDataStorage(sys.argv[1])
    storage.store_ohlcv_data(sys.argv[2], minute_bars("2014-01-03 09:30", rows=60), "test", "minute")
    pin = storage.pin("A")
    storage.store_ohlcv_data("A", minute_bars("2014-01-06 09:30", rows=60), "test", "minute", onto=pin.version_id)
    print(len(storage.read_pandas(pin)), "bars read")
""")


def rows(storage: DuckDBDataStorage) -> dict[str, int]:
    return {info.key.asset.symbol: info.rows for info in storage.list_series()}


def run(storage: DuckDBDataStorage, symbol: str, smallest_bytes: int = 1000) -> str:
    """Run a program that writes, for which row groups have 300 bars; return its log."""
    storage.close()
    command = [sys.executable, "-c", PROGRAM, str(storage.path), symbol, str(smallest_bytes)]
    tests = Path(__file__).parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tests)
    assert "bars read" in ended.stdout
    return ended.stderr


STOPPED = """
import os, signal
from lumibot_duckdb.storage.upkeep import compaction
compaction.put_in_place = lambda *_: (os.kill(os.getpid(), signal.SIGTERM), signal.pause())
"""


@pytest.fixture
def filled(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    storage.settings.set("prune.rules", "365d")
    storage.store_ohlcv_data("A", OLD, "test", "minute")
    return storage


@pytest.mark.long
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


def fragment(storage: DuckDBDataStorage, month: str = "2014-02") -> None:
    """Write days of five series in turn, so that a read goes through six row groups of 300 bars."""
    for day in range(2, 8):
        for symbol in "ABCDE":
            storage.store_ohlcv_data(symbol, minute_bars(f"{month}-{day:02} 09:30", rows=60), "test", "minute")


def test_a_program_compacts_a_fragmented_store_when_it_ends_and_once_a_day(storage: DuckDBDataStorage) -> None:
    fragment(storage)
    storage.settings.set("compact.threshold", "1.1")
    assert "compacted" not in run(storage, "A")
    storage.settings.set("compact.automatic", "on")
    assert "compacted" not in run(storage, "A", smallest_bytes=20_000_000)
    (line,) = [line for line in run(storage, "A").splitlines() if "compacted" in line]
    assert "bytes before" in line
    assert "row groups per read of 20 days before" in line
    kept = rows(storage)
    assert storage.fragmentation().row_groups_per_read == 1.0
    fragment(storage, "2014-03")
    assert "compacted" not in run(storage, "A")
    assert rows(storage) == {symbol: bars + 360 for symbol, bars in kept.items()}
    assert storage.verify().findings == []


def test_a_program_that_is_terminated_while_it_compacts(storage: DuckDBDataStorage) -> None:
    """The store is unchanged, and the next program that writes to it removes the unfinished file."""
    fragment(storage)
    storage.settings.set("compact.threshold", "1.1")
    storage.settings.set("compact.automatic", "on")
    storage.close()
    command = [sys.executable, "-c", PROGRAM + STOPPED, str(storage.path), "A", "1000"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGTERM, ended
    assert len(list(storage.path.parent.glob("*.compacting-*"))) == 1
    assert rows(storage) == {symbol: 360 + 120 * (symbol == "A") for symbol in "ABCDE"}
    assert storage.verify().findings == []
    DuckDBDataStorage(storage.path).store_ohlcv_data("A", OLD, "test", "minute")
    assert list(storage.path.parent.glob("*.compacting-*")) == []


def test_a_store_below_the_threshold_is_not_compacted(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage.store_ohlcv_data("A", OLD, "test", "minute")
    monkeypatch.setattr(automatic_upkeep, "SMALLEST_BYTES", 1000)
    monkeypatch.setattr(compaction, "compact", None)
    compact_if_due(storage._store)
    monkeypatch.setattr(automatic_upkeep, "SMALLEST_BYTES", 10**9)
    compact_if_due(storage._store)
    assert caplog.text == ""


@pytest.mark.long
def test_a_store_that_was_pruned_is_compacted_once(filled: DuckDBDataStorage) -> None:
    fragment(filled)
    filled.store_ohlcv_data("A", minute_bars("2200-01-02 09:30", rows=600), "test", "minute")
    for key, value in {"compact.threshold": "1.3", "compact.automatic": "on", "prune.automatic": "on"}.items():
        filled.settings.set(key, value)
    log = run(filled, "B")
    assert "pruned" in log
    assert "compacted" not in log
    assert rows(filled) == {"A": 600}


def test_a_compaction_that_fails_is_logged_and_changes_nothing(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage.store_ohlcv_data("A", OLD, "test", "minute")
    monkeypatch.setattr(automatic_upkeep, "SMALLEST_BYTES", 10)
    monkeypatch.setattr(compaction, "fragmentation", _full)
    ended = threading.Thread(target=lambda: None)
    ended.start()
    monkeypatch.setattr(threading, "main_thread", lambda: ended)
    automatic_upkeep._wait_and_tend(storage._store, ["compacted_at"])
    assert "was not compacted automatically: the disk is full" in caplog.text
    assert rows(storage) == {"A": 60}


def _full(*_: object) -> None:
    raise StoreWriteError("the disk is full")


def test_a_write_waits_for_nobody_to_look_at_the_settings(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take the store right after the first write. The next write looks again."""
    with ExitStack() as held:
        monkeypatch.setattr(automatic_upkeep, "remove_left_over", lambda path: held.enter_context(taken(path)))
        storage.store_ohlcv_data("A", OLD, "test", "minute")
        assert storage._store.after_first_write is automatic_upkeep.tend_at_the_end
    monkeypatch.undo()
    storage.store_ohlcv_data("B", OLD, "test", "minute")
    assert storage._store.after_first_write is None


@contextmanager
def taken(path: Path) -> Iterator[None]:
    StoreConnection.of(path).close()
    with locked(path):
        yield
