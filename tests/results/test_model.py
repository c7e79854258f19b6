"""Any sequence of calls leaves what a dictionary of dictionaries would hold."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.results import SweepExistsError, SweepNotFoundError
from results.samples import results_at, sweep, trial

NAMES = st.sampled_from(["a", "b"])
NUMBERS = st.integers(1, 4)
STATUSES = st.sampled_from(["complete", "complete", "failed", "timeout"])
TRIALS = st.dictionaries(NUMBERS, st.tuples(st.integers(0, 9), st.integers(0, 4), STATUSES), max_size=3)
CALLS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), NAMES),
        st.tuples(st.just("add"), NAMES, TRIALS),
        st.tuples(st.just("add"), NAMES, TRIALS),
        st.tuples(st.just("finish"), NAMES, st.sampled_from(["complete", "interrupted", "failed"])),
        st.tuples(st.just("delete"), NAMES),
    ),
    max_size=8,
)


@examples(40)
@given(CALLS)
def test_the_file_has_what_a_model_has(calls: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = results_at(Path(folder))
        results.begin_sweep(sweep("first"))
        model: dict[str, tuple[str, dict[int, tuple[int, int, str]]]] = {"first": ("running", {})}
        for kind, name, *given_values in calls:
            if kind == "begin":
                if name in model:
                    with pytest.raises(SweepExistsError):
                        results.begin_sweep(sweep(name))
                else:
                    results.begin_sweep(sweep(name))
                    model[name] = ("running", {})
            elif name not in model:
                if kind != "add" or given_values[0]:
                    with pytest.raises(SweepNotFoundError):
                        _call(results, kind, name, given_values)
            else:
                _call(results, kind, name, given_values)
                _change(model, kind, name, given_values)
        with duckdb.connect(str(results.path), read_only=True) as client:
            stored = client.sql("SELECT sweep, status FROM sweeps ORDER BY ALL").fetchall()
            assert stored == sorted((name, status) for name, (status, _) in model.items())
            expected = sorted(
                (name, number, status, float(value))
                for name, (_, trials) in model.items()
                for number, (value, _, status) in trials.items()
            )
            assert client.sql("SELECT sweep, number, status, sharpe FROM trials ORDER BY ALL").fetchall() == expected
            for table in ("equity", "trades", "daily_returns"):
                rows = client.sql(f"SELECT sweep, number, count(*) FROM {table} GROUP BY ALL ORDER BY ALL").fetchall()
                assert rows == sorted(
                    (name, number, count)
                    for name, (_, trials) in model.items()
                    for number, (_, count, _) in trials.items()
                    if count
                )


def _call(results: Any, kind: str, name: str, values: list[Any]) -> None:
    if kind == "add":
        trials = [(number, trial(float(v), rows, status)) for number, (v, rows, status) in values[0].items()]
        results.add_trials(name, trials)
    elif kind == "finish":
        results.finish_sweep(name, values[0])
    else:
        results.delete(name)


def _change(model: dict[str, Any], kind: str, name: str, values: list[Any]) -> None:
    if kind == "delete":
        del model[name]
        return
    status, trials = model[name]
    if kind == "finish":
        model[name] = (values[0], trials)
    else:
        kept = {number: each for number, each in trials.items() if each[2] == "complete"}
        model[name] = (status, {**trials, **values[0], **kept})
