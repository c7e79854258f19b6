"""What is stored of sweeps and trials comes back as it was, in every format."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lumibot_duckdb.comparison.trading_statistics import STYLES
from lumibot_duckdb.results import (
    ResultsDatabase,
    ResultsNotFoundError,
    SweepExistsError,
    SweepNotFoundError,
    TrialNotFoundError,
    TrialRecord,
)
from lumibot_duckdb.results.errors import InvalidResultError
from lumibot_duckdb.results.location import results_path
from lumibot_duckdb.results.trial_rows import STATISTICS
from lumibot_duckdb.storage.downloaded_snapshot import DownloadedSnapshot
from lumibot_duckdb.storage.published.manifest import MANIFEST
from results.samples import NOW, equity, results_at, sweep, trial


@pytest.fixture
def results(tmp_path: Path) -> ResultsDatabase:
    made = results_at(tmp_path)
    made.begin_sweep(sweep())
    return made


def assert_same(found: TrialRecord, expected: TrialRecord) -> None:
    for field in fields(TrialRecord):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, pa.Table):
            assert one.equals(other), field.name
        elif field.name == "statistics":
            assert {name: value for name, value in one.items() if value is not None} == other
        else:
            assert one == other, field.name


def test_all_statistics_have_a_column() -> None:
    assert tuple(STYLES) == STATISTICS


def test_a_trial_comes_back_as_it_was(results: ResultsDatabase) -> None:
    parameters = {
        "n": 3,
        "x": 0.1 + 0.2,
        "on": True,
        "none": None,
        "text": "a'\"\n;--",
        "list": [1, {"a": None}],
        "": 1,
    }
    new_york = timezone(timedelta(hours=-5))
    record = trial(
        1.25,
        parameters=parameters,
        statistics={name: number / 7 for number, name in enumerate(STATISTICS)},
        cpu_seconds=0.25,
        peak_memory=3 * 2**30,
        own_memory=5,
        versions={"lumibot": "4.6.30"},
        phase="in-sample",
        window=2,
    )
    record = replace(record, started=datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=new_york))
    failed = trial(None, status="failed", error="ValueError: no", traceback="line 1\nline 2", statistics={})
    results.add_trials("one", [(1, record), (7, failed)])
    assert_same(results.trial("one", 1), record)
    assert_same(results.trial("one", 7), failed)
    assert results.trial("one", 1).parameters == parameters
    without_tables = {number: replace(each, equity=None, trades=None, daily_returns=None) for number, each in
                      ((1, record), (7, failed))}  # fmt: skip
    for number, found in results.records("one").items():
        assert_same(found, without_tables[number])


def test_a_sweep_comes_back_as_it_was(tmp_path: Path) -> None:
    results = results_at(tmp_path)
    begun = replace(sweep("späte Wahl", versions={"python": "3.11"}), as_of=NOW, store="/data/a.duckdb", script=None)
    results.begin_sweep(begun)
    found = results.sweep("späte Wahl")
    assert (found.record, found.kind, found.status, found.ended) == (begun, "sweep", "running", None)
    results.finish_sweep("späte Wahl", "interrupted")
    assert results.sweep("späte Wahl").status == "interrupted"
    assert abs(results.sweep("späte Wahl").ended - datetime.now(timezone.utc)) < timedelta(minutes=1)  # type: ignore[operator]
    with pytest.raises(InvalidResultError, match="use one of complete, interrupted, failed"):
        results.finish_sweep("späte Wahl", "running")


def test_a_sweep_that_runs_again_has_its_new_settings(tmp_path: Path) -> None:
    results = results_at(tmp_path)
    begun = replace(sweep("one"), as_of=NOW)
    results.begin_sweep(begun)
    results.finish_sweep("one")
    extended = replace(begun, settings={**begun.settings, "trials": 400})
    results.resume_sweep(extended)
    found = results.sweep("one")
    assert (found.record, found.status, found.ended) == (extended, "running", None)
    with pytest.raises(SweepNotFoundError):
        results.resume_sweep(sweep("two"))


def test_a_complete_trial_stays_and_a_failed_one_is_replaced(results: ResultsDatabase) -> None:
    results.add_trials("one", [(1, trial(1.0)), (2, trial(2.0, status="timeout", rows=5))])
    results.add_trials("one", [(1, trial(8.0, rows=9)), (2, trial(9.0, rows=4)), (3, trial(3.0))])
    assert_same(results.trial("one", 1), trial(1.0))
    assert_same(results.trial("one", 2), trial(9.0, rows=4))
    assert len(results.equity("one")) == 3 + 4 + 3
    results.add_trials("one", [(2, trial(1.0, status="crashed"))])
    assert results.trial("one", 2).status == "complete"


def test_a_name_is_taken_until_it_is_deleted(results: ResultsDatabase) -> None:
    results.add_trials("one", [(1, trial())])
    results.begin_sweep(sweep("other"))
    results.add_trials("other", [(1, trial(5.0))])
    with pytest.raises(SweepExistsError, match=r"there is a sweep one in .*my-results.duckdb already: choose another"):
        results.begin_sweep(sweep())
    with pytest.raises(SweepExistsError):
        results.add_run(sweep(), trial())
    results.delete("one")
    assert not results.has_sweep("one")
    assert results.sql("SELECT DISTINCT sweep FROM equity").to_pylist() == [{"sweep": "other"}]
    results.begin_sweep(sweep())
    assert len(results.trials("one")) == len(results.equity("one")) == len(results.daily_returns("one")) == 0


def test_a_run_is_a_sweep_with_one_trial(tmp_path: Path) -> None:
    results = results_at(tmp_path)
    results.add_run(sweep("good"), trial())
    results.add_run(sweep("bad"), trial(None, status="failed"))
    assert [
        (row["sweep"], row["kind"], row["status"], row["trials"]) for row in results.sweeps("arrow").to_pylist()
    ] == [
        ("bad", "run", "failed", 1),
        ("good", "run", "complete", 1),
    ]


def test_parameters_have_typed_columns(results: ResultsDatabase) -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "x": 1, "on": True, "text": "a", "mixed": 1, "big": 2**70},
        {"n": 2, "x": 2.5, "on": False, "text": "5", "mixed": "1", "big": 1, "late": [1]},
    ]
    results.add_trials("one", [(number, trial(parameters=each)) for number, each in enumerate(rows, 1)])
    table = results.trials("one", "arrow")
    kinds = {"n": "int64", "x": "double", "on": "bool", "text": "string"}
    kinds |= dict.fromkeys(("mixed", "big", "late"), "string")
    assert {name: str(table.schema.field(f"param_{name}").type) for name in (*rows[0], "late")} == kinds
    assert table["param_mixed"].to_pylist() == ["1", '"1"']
    assert table["param_late"].to_pylist() == [None, "[1]"]
    assert table["param_big"].to_pylist() == [str(2**70), "1"]


def test_tables_are_pandas_polars_or_arrow(results: ResultsDatabase) -> None:
    results.add_trials("one", [(1, trial())])
    readers: dict[Callable[[Any], Any], int] = {
        results.sweeps: 1,
        lambda each: results.trials("one", each): 1,
        lambda each: results.best("one", 1, each): 1,
        lambda each: results.equity("one", None, each): 3,
        lambda each: results.trades("one", [1], each): 3,
    }
    for read, rows in readers.items():
        found = [read(each) for each in ("pandas", "polars", "arrow")]
        assert [type(each) for each in found] == [pd.DataFrame, pl.DataFrame, pa.Table]
        assert list(map(len, found)) == [rows] * 3
    with pytest.raises(ValueError, match="'csv' is not one of pandas, polars, arrow"):
        results.trials("one", "csv")  # type: ignore[arg-type]


def test_equity_has_the_order_of_the_backtest(results: ResultsDatabase) -> None:
    shuffled = equity(1.0, 50).take(pa.array([*range(49, -1, -1)]))
    results.add_trials("one", [(3, replace(trial(), equity=shuffled)), (2, trial(5.0, rows=2))])
    assert results.trial("one", 3).equity.equals(shuffled)  # type: ignore[union-attr]
    found = results.equity("one")
    assert found["number"].tolist() == [2, 2, *[3] * 50]
    assert str(found["time"].dt.tz) == "UTC"
    assert results.equity("one", [2])["value"].tolist() == [5.0, 6.0]
    assert len(results.equity("one", [])) == 0


def test_daily_returns_are_a_matrix_of_complete_trials(results: ResultsDatabase) -> None:
    results.add_trials("one", [(1, trial(1.0, rows=2)), (3, trial(3.0, rows=4)), (4, trial(4.0, status="failed"))])
    found = results.daily_returns("one")
    assert found.columns.tolist() == [1, 3]
    assert isinstance(found.index, pd.DatetimeIndex)
    assert found[3].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert found[1].tolist()[:2] == [1.0, 2.0]
    assert found[1].isna().tolist() == [False, False, True, True]
    assert results.daily_returns("one", [4]).columns.tolist() == [4]


@pytest.mark.parametrize(("direction", "order"), [("maximize", [4, 1, 3]), ("minimize", [3, 1, 4])])
def test_the_best_trials(tmp_path: Path, direction: str, order: list[int]) -> None:
    results = results_at(tmp_path)
    results.begin_sweep(sweep(settings={"direction": direction}))
    values = [2.0, None, -1.0, 7.0, math.nan]
    trials = [(number, trial(value, parameters={})) for number, value in enumerate(values, 1)]
    results.add_trials("one", [*trials, (6, trial(99.0, status="failed"))])
    found = results.best("one")
    assert found["number"].tolist() == order
    assert found["rank"].tolist() == [1, 2, 3]
    assert results.best("one", 1)["number"].tolist() == order[:1]
    (summary,) = results.sweeps("arrow").to_pylist()
    assert (summary["trials"], summary["complete"], summary["others"]) == (6, 5, 1)
    assert summary["best"] == values[order[0] - 1]


def test_trials_of_a_walk_forward_sweep_are_ranked_in_their_window(results: ResultsDatabase) -> None:
    places = [("in-sample", 1), ("in-sample", 1), ("in-sample", 2), ("out-of-sample", 1), ("joined", None)]
    trials = [trial(float(number), phase=phase, window=window) for number, (phase, window) in enumerate(places, 1)]
    results.add_trials("one", list(enumerate(trials, 1)))
    assert results.best("one", 1)["number"].tolist() == [2, 3, 5, 4]


def test_the_best_of_a_walk_forward_sweep_is_not_that_of_a_search(results: ResultsDatabase) -> None:
    searched = [(1, trial(9.0, phase="in-sample", window=1)), (2, trial(3.0, phase="out-of-sample", window=1))]
    results.add_trials("one", searched)
    assert pd.isna(results.sweeps()["best"].item())
    results.add_trials("one", [(3, trial(2.0, phase="joined"))])
    assert results.sweeps()["best"].item() == 2.0


def test_any_client_can_read_the_views(results: ResultsDatabase) -> None:
    results.add_trials("one", [(1, trial(2.5)), (2, trial(None, status="failed", error="no"))])
    with duckdb.connect(str(results.path), read_only=True) as client:
        assert client.sql("SELECT * FROM trial_parameters ORDER BY ALL").fetchall() == [
            ("one", 1, "rows", "3", 3.0),
            ("one", 1, "x", "2.5", 2.5),
            ("one", 2, "rows", "3", 3.0),
            ("one", 2, "x", None, None),
        ]
        assert client.sql("SELECT number, status, error FROM failed_trials").fetchall() == [(2, "failed", "no")]
        assert client.sql("SELECT rank, number, objective_name FROM best").fetchall() == [(1, 1, "sharpe")]
        assert client.sql("SELECT sweep, trials FROM sweep_summary").fetchall() == [("one", 2)]
        joined = client.sql("SELECT count(*) FROM trials JOIN equity USING (sweep, number)")
        assert joined.fetchall() == [(6,)]


def test_queries_only_read(results: ResultsDatabase) -> None:
    with pytest.raises(ValueError, match="only statements that read"):
        results.sql("DELETE FROM trials")
    with pytest.raises(ValueError, match="reads the store and nothing else"):
        results.sql("FROM read_csv('/etc/passwd')")
    assert results.sql("SELECT ? AS n", [5]).to_pylist() == [{"n": 5}]


def test_what_does_not_exist_is_named(tmp_path: Path, results: ResultsDatabase) -> None:
    for call in (results.trials, results.delete, results.finish_sweep, results.sweep, results.equity):
        with pytest.raises(SweepNotFoundError, match=r"there is no sweep two in .*; it has one"):
            call("two")
    with pytest.raises(SweepNotFoundError):
        results.add_trials("two", [(1, trial())])
    with pytest.raises(TrialNotFoundError, match="has no trial 5"):
        results.trial("one", 5)
    absent = ResultsDatabase(tmp_path / "absent.duckdb")
    with pytest.raises(ResultsNotFoundError, match=r"there are no results at .*absent\.duckdb yet: run a sweep"):
        absent.sweeps()
    assert not absent.has_sweep("one")
    assert not absent.path.exists()


@pytest.mark.parametrize(
    ("number", "record", "message"),
    [
        (0, trial(), "0 is not the number of a trial"),
        (True, trial(), "True is not the number"),
        (1, trial(status="good"), "status of trial 1 of the sweep one is 'good'; it must be one of complete, failed"),
        (1, trial(statistics={"sharp": 1.0}), r"unknown statistics \(sharp\)"),
        (1, trial(parameters={"x": object()}), "parameters of trial 1 of the sweep one cannot be stored as JSON"),
        (1, trial(parameters={"x": math.inf}), "cannot be stored as JSON"),
        (1, replace(trial(), started=datetime(2024, 1, 1)), "has no time zone"),
        (1, replace(trial(), equity=pa.table({"time": [1]})), "equity of trial 1 does not have the columns"),
        (1, trial(phase="later"), "phase of trial 1"),
    ],
)
def test_a_record_that_cannot_be_stored_is_refused(
    results: ResultsDatabase, number: int, record: TrialRecord, message: str
) -> None:
    with pytest.raises(InvalidResultError, match=message):
        results.add_trials("one", [(5, trial()), (number, record)])
    assert len(results.trials("one")) == len(results.equity("one")) == 0


@pytest.mark.parametrize("name", ["", " a", "a ", "-a", "a\nb", "\ud800", "x" * 201])
def test_a_name_that_cannot_be_typed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidResultError, match="cannot be the name of a sweep or a session"):
        results_at(tmp_path).begin_sweep(sweep(name))


def test_results_are_beside_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_path(store=tmp_path / "a.duckdb") == tmp_path / "a-results.duckdb"
    assert results_path(store=tmp_path) == tmp_path / "lumibot-results.duckdb"
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", str(tmp_path / "bars.duckdb"))
    assert ResultsDatabase().path == tmp_path / "bars-results.duckdb"
    for wrong in (tmp_path / "a.csv", "s3://bucket/a.duckdb", tmp_path):
        with pytest.raises(ValueError, match=r"name a file that ends in \.duckdb"):
            results_path(wrong)


def test_results_are_not_beside_a_snapshot_or_in_a_folder_that_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache"))
    elsewhere = tmp_path / "cache" / "duckdb" / "lumibot-results.duckdb"

    published = tmp_path / "published"
    published.mkdir()
    (published / MANIFEST).touch()
    downloaded = tmp_path / "snapshots" / "digest" / "lumibot.duckdb"
    downloaded.parent.mkdir(parents=True)
    DownloadedSnapshot("s3://bucket/bars", datetime(2024, 6, 3, tzinfo=timezone.utc), 0, 0).write(downloaded)
    (tmp_path / "link.duckdb").symlink_to(downloaded)
    for snapshot in ("s3://bucket/bars", published, downloaded, tmp_path / "link.duckdb"):
        assert results_path(store=snapshot) == elsewhere
    with pytest.raises(ValueError, match="unusable prefix"):
        results_path(store="s3://bucket/a//b")
    assert results_path(tmp_path / "mine.duckdb", "s3://bucket/bars") == tmp_path / "mine.duckdb"
    monkeypatch.setenv("LUMIBOT_DUCKDB_PATH", "s3://bucket/bars")
    assert ResultsDatabase().path == elsewhere

    read_only = tmp_path / "read-only"
    read_only.mkdir()
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, *more, **named: Path(path) != read_only and access(path, *more, **named)
    )
    assert results_path(store=read_only / "bars.duckdb") == elsewhere
    assert results_path(store=read_only / "new folder" / "bars.duckdb") == elsewhere
    assert (
        results_path(store=tmp_path / "new folder" / "bars.duckdb") == tmp_path / "new folder" / "bars-results.duckdb"
    )
