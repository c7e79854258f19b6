"""`verify` finds damage that was planted, each kind of it, and nothing in a sound store."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

import duckdb
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import CorporateAction
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.upkeep import verification
from storage.frames import minute_bars
from templates import template

CHAIN = {"Multiplier": None, "Chains": {"CALL": {"2024-01-19": [1.0, 2], "2024-01-26": []}, "PUT": {}}}


@template
def all_kinds(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=100)
    storage.store_ohlcv_data("A", frame, "test", "minute")
    frame.iloc[5, 4] += 1
    storage.store_ohlcv_data("A", frame, "test", "minute")
    storage.store_ohlcv_data("B", frame.assign(note="n"), "test", "minute")
    storage.record_corporate_actions("A", [CorporateAction(dt.date(2024, 1, 2), 1, 2)], "test")
    storage.record_corporate_actions("B", [], "test")
    storage.label(["A", "B"], "sector", ["one", "two"])
    for days_ahead in (None, 30):
        storage.store_option_chain("A", CHAIN, "test", dt.date(2024, 1, 2), days_ahead=days_ahead)


@pytest.fixture
def sound(storage: DuckDBDataStorage) -> DuckDBDataStorage:
    all_kinds(storage.path)
    return storage


def test_a_sound_store_has_no_findings(sound: DuckDBDataStorage) -> None:
    report = sound.verify()
    assert (report.sound, report.findings, report.series, report.rows) == (True, [], 2, 300)


DAMAGES = {
    "snapshots": "INSERT INTO {db}.snapshot SELECT 'one', 3, TIMESTAMP '2024-01-02' FROM range(2)",
    "doubled_bars": "INSERT INTO {db}.bar SELECT * FROM {db}.bar WHERE version_id = 3 LIMIT 1",
    "bars_of_no_version": "UPDATE {db}.bar SET version_id = 77 WHERE version_id = 1",
    "bars_of_no_ingest": "UPDATE {db}.bar SET ingest_id = 99 WHERE version_id = 3",
    "current_versions": "UPDATE {db}.series SET current_version = 3 WHERE series_id = 1",
    "versions_of_no_series": "DELETE FROM {db}.series WHERE series_id = 3",
    "doubled_identities": "INSERT INTO {db}.series SELECT * FROM {db}.series WHERE series_id = 3",
    "rows_of_nothing": "INSERT INTO {db}.asset SELECT * REPLACE (77 AS asset_id, 'no' AS name) FROM {db}.asset LIMIT 1",
    "missing_layouts": "DELETE FROM {db}.layout WHERE layout_id = 3",
    "recorded_facts": "DELETE FROM {db}.bar WHERE version_id = 3 AND ts = (SELECT max(ts) FROM {db}.bar)",
    "coverage_ranges": "UPDATE {db}.coverage SET range_end = TIMESTAMP_S '2999-01-01 00:00:00' WHERE series_id = 3",
    "corporate_actions": "DELETE FROM {db}.corporate_action_check",
    "option_chains": "DELETE FROM {db}.option_chain_strikes WHERE expiration = '2024-01-26'",
    "labels": "INSERT INTO {db}.asset_label SELECT * FROM {db}.asset_label",
    "metadata": "UPDATE {db}.ingest SET metadata = '[1]' WHERE ingest_id = 1",
    "layouts": "ALTER TABLE {db}.bar DROP COLUMN x_note_varchar",
}


@pytest.mark.older_duckdb
@pytest.mark.parametrize("check", DAMAGES)
def test_planted_damage_is_found(sound: DuckDBDataStorage, check: str) -> None:
    with StoreConnection.of(sound.path).write() as cursor:
        cursor.execute(DAMAGES[check])
    report = sound.verify()
    assert not report.sound
    assert check in {finding.check for finding in report.findings if finding.damage}


@pytest.mark.older_duckdb
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (
            "INSERT INTO {db}.corporate_action SELECT * FROM {db}.corporate_action",
            "the split of A (stock) from test on",
        ),
        ("DELETE FROM {db}.corporate_action_check", "1 actions (split) of A (stock) came with no check of test"),
        (
            "INSERT INTO {db}.corporate_action_check SELECT * FROM {db}.corporate_action_check",
            "the last check (split) of",
        ),
        ("INSERT INTO {db}.option_chain SELECT * FROM {db}.option_chain", "option chain 1 is there 2 times"),
        ("UPDATE {db}.option_chain SET days_ahead = NULL", "chain of A (stock) from test as of 2024-01-02 is there 2"),
        (
            "INSERT INTO {db}.option_chain_strikes SELECT * FROM {db}.option_chain_strikes",
            "option chain 1 should have the strikes of 2 expirations and has those of 4",
        ),
        ("DELETE FROM {db}.option_chain WHERE chain_id = 2", "2 lists of strikes belong to option chain 2, which"),
        ("UPDATE {db}.option_chain_strikes SET strikes = '[1.0, '", "chain 1, CALL of 2024-01-19, are no list"),
        (
            "INSERT INTO {db}.asset_label SELECT * FROM {db}.asset_label WHERE value = 'one'",
            "the label sector of A (stock) has the value one 2 times",
        ),
        (
            "UPDATE {db}.asset_label SET labelled_at = TIMESTAMP '2024-01-02' WHERE value = 'one'",
            "the values of the label sector of B (stock) have 2 different times",
        ),
    ],
)
def test_each_damage_to_reference_data_is_named(sound: DuckDBDataStorage, damage: str, what: str) -> None:
    with StoreConnection.of(sound.path).write() as cursor:
        cursor.execute(damage)
    assert any(what in finding.what and finding.damage for finding in sound.verify().findings)


@pytest.mark.older_duckdb
def test_a_layout_that_cannot_be_read_is_found(sound: DuckDBDataStorage) -> None:
    with StoreConnection.of(sound.path).write() as cursor:
        cursor.execute("UPDATE {db}.layout SET definition = '{' WHERE layout_id = 1")
    assert "layout 1 cannot be read" in sound.verify().findings[0].what


@pytest.mark.older_duckdb
def test_many_findings_of_a_kind_are_cut_short(sound: DuckDBDataStorage) -> None:
    with StoreConnection.of(sound.path).write() as cursor:
        cursor.execute("INSERT INTO {db}.bar SELECT * FROM {db}.bar WHERE version_id = 3")
    doubled = [finding for finding in sound.verify().findings if finding.check == "doubled_bars"]
    assert len(doubled) == 20
    assert doubled[0].what == "version 3 has the bar of 2024-01-02 14:30:00 2 times"


def test_every_check_is_distinguished_as_damage_or_remark() -> None:
    from lumibot_duckdb.storage.upkeep.verification import _checks

    checks = {name: (damage, sql) for name, damage, sql in _checks()}
    assert {name for name, (damage, _) in checks.items() if not damage} == {
        "implausible_bars",
        "repaired_in_snapshots",
    }
    assert set(DAMAGES) - {"layouts"} == {name for name, (damage, _) in checks.items() if damage}
    assert all(sql.startswith(("-- damage: ", "-- remark: ")) for _, sql in checks.values())


def test_what_does_not_fit_in_memory_is_read_in_parts(
    sound: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory is pretended to hold ten rows of one column."""
    read = verification._read
    parts: list[str] = []

    def little_memory(connection: Any, table: str, columns: Sequence[str], condition: str = "") -> None:
        if len(columns) > 1 or (table == "bar" and rows_of(condition) > 10):
            raise duckdb.OutOfMemoryException("Out of Memory Error: could not allocate")
        parts.append(f"{table} {columns[0]} {condition}")
        read(connection, table, columns, condition)

    def rows_of(condition: str) -> int:
        first, end = map(int, re.findall(r"\d+", condition))
        return end - first

    monkeypatch.setattr(verification, "_read", little_memory)
    report = sound.verify()
    assert report.findings == []
    closes = [part for part in parts if part.startswith("bar close ")]
    assert sum(rows_of(part) for part in closes) == report.rows > 100
    assert len(closes) > 20
