"""There is one clock: nothing else in the package reads the present time."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

import lumibot_duckdb
from lumibot_duckdb import clock
from lumibot_duckdb.storage.times import utc_now

PACKAGE = Path(lumibot_duckdb.__file__).parent
READS_A_CLOCK = re.compile(
    r"datetime\.now\(|\.utcnow\(|date\.today\(|datetime\.today\(|\btime\.time\(|Timestamp\.(now|today|utcnow)\("
)
SQL_READS_A_CLOCK = re.compile(
    r"(?i)\b((now|today|get_current_timestamp)\s*\(|(current_(date|time|timestamp)|localtime)\b)"
)
ALLOWED = {
    "clock.py",
    "comparison/value_text.py",  # recognises what a strategy read from the computer's clock
}


def test_nothing_else_reads_a_clock() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if str(path.relative_to(PACKAGE)) not in ALLOWED
        for line in path.read_text("utf-8").splitlines()
        if READS_A_CLOCK.search(line) and not line.strip().startswith('"')  # advice in a message
    }
    assert found == set()


def test_no_sql_file_reads_a_clock() -> None:
    files = list(PACKAGE.rglob("*.sql"))
    found = {
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in files
        for line in path.read_text("utf-8").replace("{now}", "").splitlines()
        if SQL_READS_A_CLOCK.search(line.split("--")[0])
    }
    assert len(files) > 10
    assert found == set()


def test_it_can_be_set_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    then = dt.datetime(2024, 1, 2, 3, 4, 5, 999_999, tzinfo=dt.timezone.utc)
    monkeypatch.setattr(clock, "utc_now", lambda: then)
    assert utc_now() == then
    assert clock.epoch_now() == 1_704_164_645
    assert clock.today(dt.timezone(dt.timedelta(hours=-5))) == dt.date(2024, 1, 1)
