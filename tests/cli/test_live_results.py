"""`results` lists and shows sessions of live trading, and refuses for them what is about backtests."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pyarrow as pa
import pytest

from cli.files import Command
from lumibot_duckdb.results import LiveSessionRecord, LiveSessions
from lumibot_duckdb.results.live_records import LIVE_TABLES, LiveBatch
from results.samples import sweep

STARTED = datetime(2024, 6, 3, 14, 0, tzinfo=timezone.utc)
ORDER = {"time": STARTED, "order_id": "o-1", "asset": "SPY", "side": "buy", "type": "limit", "limit_price": 500.0}
ROWS = {
    "live_orders": [{**ORDER, "quantity": 3.0}],
    "trades": [
        {"time": STARTED, "event": "new", "asset": "SPY", "side": "buy", "type": "limit", "order_id": "o-1"},
        {"time": STARTED, "event": "fill", "asset": "SPY", "quantity": 3.0, "price": 499.5, "order_id": "o-1"},
    ],
    "equity": [{"time": STARTED, "value": value} for value in (1_000.0, 1_001.5)],
    "live_requests": [{"request": 1, "time": STARTED, "method": "last_price", "asset": "SPY", "price": 499.0}],
}


@pytest.fixture
def filled(command: Command) -> Command:
    command.store.parent.mkdir()
    sessions = LiveSessions(command.store.with_name("lumibot-results.duckdb"))
    settings = {"broker": "alpaca", "parameters": {"length": 10}}
    sessions.begin(LiveSessionRecord("id-1", "cross-live", "Cross", "my.py", settings, STARTED, "bars.duckdb"))
    tables = {name: pa.Table.from_pylist(rows, LIVE_TABLES[name]) for name, rows in ROWS.items()}
    sessions.append("id-1", [LiveBatch(1, tables, lost=7)])
    return command


def test_sessions_have_a_table_of_their_own(filled: Command) -> None:
    ended = filled("results")
    header, _, row, *rest = ended.out.splitlines()
    assert header.split("  ")[0] == "live session"
    assert row.split()[:6] == ["cross-live", "running", "Cross", "1", "1", "1,001.50"]
    assert "2024-06-03 10:00" in row
    assert rest == ["", "Times are New York time."]


def test_sweeps_are_listed_before_sessions(filled: Command) -> None:
    from lumibot_duckdb.results import ResultsDatabase

    ResultsDatabase(filled.store.with_name("lumibot-results.duckdb")).begin_sweep(sweep("grid"))
    tables = filled("results").out.split("\n\n")
    assert [table.split()[0] for table in tables] == ["name", "live", "Times"]
    assert "cross-live" not in tables[0]
    listed = json.loads(filled("results", "--json").out)
    assert {each["sweep"]: each["kind"] for each in listed} == {"grid": "sweep", "cross-live": "live"}


def test_a_session_is_shown_with_its_fills(filled: Command) -> None:
    shown = filled("results", "show", "cross-live").out
    for expected in ("cross-live of Cross", "running", "alpaca", "bars.duckdb", "7 rows could not be kept", "499.5"):
        assert expected in shown
    assert "1,000.00 at the beginning, 1,001.50 now" in shown
    found = json.loads(filled("results", "show", "cross-live", "--json").out)
    assert (found["session"], found["status"], found["lost"], found["requests"]) == ("cross-live", "running", 7, 1)
    assert found["orders"][0]["limit_price"] == 500.0
    assert [each["event"] for each in found["trades"]] == ["new", "fill"]
    assert filled("results", "show", "cross-live", "--csv").out.splitlines()[0].endswith("fees,order_id")


@pytest.mark.parametrize(
    "arguments", [("best", "cross-live"), ("report", "cross-live"), ("compare", "cross-live", "cross-live")]
)
def test_what_is_about_backtests_is_refused(filled: Command, arguments: tuple[str, ...]) -> None:
    ended = filled("results", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert f"is a session of live trading, and results {arguments[0]} is about backtests" in ended.err
    assert "live replay cross-live SCRIPT" in ended.err


def test_a_trial_of_a_session_is_refused(filled: Command) -> None:
    assert "has no trials: leave out --trial" in filled("results", "show", "cross-live", "--trial", 1).err


def test_a_session_is_deleted(filled: Command) -> None:
    ended = filled("results", "delete", "cross-live", "--yes")
    assert ended.out == "The live session cross-live deleted.\n"
    assert "its next rows will fail to be stored" in ended.err
    assert "There are no sweeps" in filled("results").out
