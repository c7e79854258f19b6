"""Sessions of live trading grow in the results, each row once, beside sweeps and recorded backtests."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lumibot_duckdb import clock
from lumibot_duckdb.results import LiveSessionRecord, LiveSessions, ResultsDatabase, SessionNotFoundError, schema
from lumibot_duckdb.results.errors import InvalidResultError
from lumibot_duckdb.results.live_records import LIVE_TABLES, LiveBatch
from results.samples import NOW, equity, results_at, sweep, trial

RECORD = LiveSessionRecord("id-1", "cross-live", "Cross", "my.py", {"market": "24/7"}, NOW, "store.duckdb", {"a": "1"})


@pytest.fixture
def sessions(tmp_path: Path) -> LiveSessions:
    return LiveSessions(results_at(tmp_path).path)


def batch(number: int, rows: int = 2, lost: int = 0) -> LiveBatch:
    return LiveBatch(number, {"equity": equity(float(number), rows)}, lost)


def values(sessions: LiveSessions, name: str = "cross-live") -> list[float]:
    found: list[float] = sessions.tables(name)["equity"]["value"].to_pylist()
    return found


def test_all_tables_come_back_as_they_were(sessions: LiveSessions) -> None:
    row = {
        "trades": {"time": NOW, "event": "fill", "asset": "SPY", "side": "buy", "type": "market", "order_id": "o-1"},
        "live_orders": {"time": NOW, "order_id": "o-1", "asset": "SPY", "quantity": 2.0, "limit_price": None},
        "live_requests": {"request": 1, "time": NOW, "method": "history", "asset": "SPY", "bars": 1, "first_bar": NOW},
        "live_bars": {"request": 1, "time": NOW, "close": 0.1 + 0.2, "volume": float("inf"), "gone": False},
        "equity": {"time": NOW, "value": 1.5, "cash": None},
    }
    tables = {name: pa.Table.from_pylist([each], LIVE_TABLES[name]) for name, each in row.items()}
    assert tables.keys() == LIVE_TABLES.keys()
    sessions.begin(RECORD)
    sessions.append("id-1", [LiveBatch(1, tables)])
    assert sessions.tables("cross-live") == tables
    stored = sessions.session("cross-live")
    assert stored.record == RECORD
    assert (stored.status, stored.ended, stored.lost) == ("running", None, 0)


def test_batches_are_stored_once_and_in_order(sessions: LiveSessions) -> None:
    sessions.begin(RECORD)
    sessions.append("id-1", [batch(1)])
    sessions.append("id-1", [batch(1), batch(2, lost=3)])
    sessions.append("id-1", [batch(2, lost=3)])
    assert values(sessions) == [1.0, 2.0, 2.0, 3.0]
    assert sessions.session("cross-live").lost == 3


def test_a_session_that_begins_twice_is_stored_once(sessions: LiveSessions) -> None:
    assert sessions.begin(RECORD) == sessions.begin(RECORD) == "cross-live"
    assert sessions.summary().num_rows == 1


def test_further_sessions_get_a_number(sessions: LiveSessions, tmp_path: Path) -> None:
    results_at(tmp_path).begin_sweep(sweep("cross-live-2"))
    names = [sessions.begin(replace(RECORD, session_id=str(number))) for number in range(3)]
    assert names == ["cross-live", "cross-live-3", "cross-live-4"]
    sessions.append("2", [batch(1)])
    assert values(sessions, "cross-live-4") == [1.0, 2.0]
    assert values(sessions) == []


def test_the_end_is_kept(sessions: LiveSessions) -> None:
    sessions.begin(RECORD)
    sessions.finish("id-1", "failed", NOW + timedelta(hours=1))
    sessions.finish("id-1", "complete")
    stored = sessions.session("cross-live")
    assert (stored.status, stored.ended) == ("failed", NOW + timedelta(hours=1))
    with pytest.raises(InvalidResultError, match="'done' is not how a session ends"):
        sessions.finish("id-1", "done")  # type: ignore[arg-type]


def test_a_silent_session_counts_as_interrupted(sessions: LiveSessions, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions.begin(RECORD)
    last = sessions.session("cross-live").updated
    for minutes, status in ((2, "running"), (4, "interrupted")):
        now = last + timedelta(minutes=minutes)
        monkeypatch.setattr(clock, "utc_now", lambda now=now: now)
        assert sessions.session("cross-live").status == status
        assert sessions.summary()["status"].to_pylist() == [status]
    sessions.append("id-1", [])  # it runs after all
    assert sessions.session("cross-live").status == "running"
    later = now + timedelta(minutes=4)
    monkeypatch.setattr(clock, "utc_now", lambda: later)
    sessions.begin(replace(RECORD, session_id="id-2"))
    stored = sessions.session("cross-live")
    assert (stored.status, stored.ended) == ("interrupted", now)


def test_a_session_is_deleted_as_a_whole(sessions: LiveSessions, tmp_path: Path) -> None:
    for session_id in ("id-1", "id-2"):
        sessions.begin(replace(RECORD, session_id=session_id))
        sessions.append(session_id, [batch(1)])
    results_at(tmp_path).delete("cross-live")
    with pytest.raises(SessionNotFoundError, match=r"no session cross-live of .*; it has cross-live-2"):
        sessions.tables("cross-live")
    with pytest.raises(SessionNotFoundError, match="was deleted"):
        sessions.append("id-1", [batch(2)])
    assert values(sessions, "cross-live-2") == [1.0, 2.0]


def test_a_sweep_is_no_session(sessions: LiveSessions, tmp_path: Path) -> None:
    results_at(tmp_path).begin_sweep(sweep())
    for read in (sessions.session, sessions.tables):
        with pytest.raises(SessionNotFoundError, match=r"one in .* is a sweep, not a session"):
            read("one")


def test_bad_records_are_refused(sessions: LiveSessions) -> None:
    sessions.begin(RECORD)
    for record in (
        replace(RECORD, session_id="x", name=""),
        replace(RECORD, session_id="x", started=datetime(2024, 1, 1)),
        replace(RECORD, session_id="x", settings={"x": float("nan")}),
    ):
        with pytest.raises(InvalidResultError):
            sessions.begin(record)
    with pytest.raises(InvalidResultError, match="rows of a session does not have the columns"):
        sessions.append("id-1", [LiveBatch(1, {"equity": pa.table({"x": [1]})})])
    assert sessions.summary().num_rows == 1
    assert values(sessions) == []


def test_sessions_are_sweeps_of_their_own_kind(sessions: LiveSessions) -> None:
    sessions.begin(RECORD)
    results = ResultsDatabase(sessions.path)
    assert results.sweeps("arrow").select(["sweep", "kind", "trials"]).to_pylist() == [
        {"sweep": "cross-live", "kind": "live", "trials": 0}
    ]
    assert results.sweep("cross-live").kind == "live"
    assert results.trials("cross-live").empty
    sessions.append("id-1", [batch(1)])
    assert results.equity("cross-live")["value"].tolist() == [1.0, 2.0]


def test_a_file_of_the_first_schema_gets_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = results_at(tmp_path)
    scripts = schema.migration_scripts("lumibot_duckdb.results")
    with monkeypatch.context() as older:
        older.setattr(schema, "migration_scripts", lambda package: scripts[:1])
        results.begin_sweep(sweep())
        with duckdb.connect(str(results.path)) as client:
            client.execute("INSERT INTO trades BY NAME SELECT 'one' AS sweep, 1 AS number, 'fill' AS event, 7 AS price")
    assert results.trades("one")["price"].tolist() == [7.0]
    results.add_trials("one", [(2, trial(1.0))])
    LiveSessions(results.path).begin(RECORD)
    assert results.sql("SELECT count(*) AS n FROM trades WHERE order_id IS NULL").to_pylist() == [{"n": 4}]
