"""The file with the days on which series were read."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.bars.last_use import LastUse
from storage.frames import minute_bars

TODAY = dt.datetime(2024, 1, 2, 12, tzinfo=dt.timezone.utc)


def on(monkeypatch: pytest.MonkeyPatch, days: int) -> dt.date:
    monkeypatch.setattr(clock, "utc_now", lambda: TODAY + dt.timedelta(days))
    return (TODAY + dt.timedelta(days)).date()


def test_one_line_a_day_for_each_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = LastUse(tmp_path / "s.duckdb")
    assert use.days() == {}
    first = on(monkeypatch, 0)
    for series in (3, 4, 3):
        use.record(series)
    second = on(monkeypatch, 1)
    use.record(3)
    assert use.path.read_text() == "2024-01-02 3\n2024-01-02 4\n2024-01-03 3\n"
    assert use.days() == {3: second, 4: first}
    use.shorten({3})
    assert use.path.read_text() == "2024-01-03 3\n"
    assert [file.name for file in tmp_path.iterdir()] == ["s.duckdb.use"]
    use.record(4)
    assert use.days() == {3: second, 4: second}


def test_days_in_the_future_count_as_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = LastUse(tmp_path / "s.duckdb")
    on(monkeypatch, 400)
    use.record(1)
    assert use.days()[1] > on(monkeypatch, 0)


def test_unreadable_lines_are_ignored(tmp_path: Path) -> None:
    use = LastUse(tmp_path / "s.duckdb")
    lines = (
        b"2024-01-02 1",
        b"2024-01-2024-01-03 2",
        b"2024-02-31 3",
        b"\xff",
        b"2024-01-04 99999999999",
        b"2024-01-05 4",
    )
    use.path.write_bytes(b"\n".join(lines))
    assert use.days() == {1: dt.date(2024, 1, 2), 4: dt.date(2024, 1, 5)}


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_no_error_stops_a_read(storage: DuckDBDataStorage, make: object) -> None:
    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    make(storage.path.with_name(storage.path.name + ".use"))  # type: ignore[operator]
    assert len(storage.get_historical_prices("A")) == 60
    assert DuckDBDataStorage(storage.path)._store.last_use.days() == {}


def test_reads_are_recorded(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("A", minute_bars(), "test", "minute")
    storage.store_ohlcv_data("B", minute_bars(), "test", "minute")
    storage.list_series()
    storage.facts(storage.pin("A"))
    assert list(storage._store.last_use.days()) == [storage.pin("A").series_id]
