"""Purged walk-forward and k-fold splits, alone and in scikit-learn."""

from __future__ import annotations

import pickle
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analytics.market import frame
from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.errors import MissingLibraryError
from lumibot_duckdb.panels import ForwardReturn, PanelError

sklearn: Any = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.model_selection import BaseCrossValidator, GridSearchCV, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from lumibot_duckdb.panels.splits import PurgedKFold, PurgedWalkForward  # noqa: E402

pytestmark = [pytest.mark.xdist_group("scikit-learn"), pytest.mark.usefixtures("one_thread")]  # it is imported once

DAY = pd.Timedelta(days=1)


@st.composite
def panel_rows(draw: st.DrawFn) -> pd.DataFrame:
    """Return time and known_at of rows of several assets, in any order, some assets without some bars."""
    moments = draw(st.integers(2, 40))
    days = np.cumsum(draw(st.lists(st.integers(1, 4), min_size=moments, max_size=moments)))
    tables = []
    for _ in range(draw(st.integers(1, 3))):
        bars = draw(st.lists(st.sampled_from(days.tolist()), min_size=1, unique=True))
        lengths = draw(st.lists(st.integers(0, 12), min_size=len(bars), max_size=len(bars)))
        tables.append(pd.DataFrame({"time": bars, "known_at": np.add(bars, lengths)}))
    rows = pd.concat(tables, ignore_index=True)
    shuffled = rows.sample(frac=1, random_state=draw(st.integers(0, 99))).reset_index(drop=True)
    return pd.Timestamp("2024-01-01", tz="America/New_York") + shuffled * DAY


def as_arrays(rows: pd.DataFrame) -> tuple[Any, Any]:
    return rows["time"].to_numpy(), rows["known_at"].to_numpy()


def assert_splits(cv: Any, rows: pd.DataFrame, expected: list[tuple[list[int], list[int]]]) -> None:
    """Fail unless the splits are these, up to the first one without training, which must be an error."""
    found = cv.split(rows, groups=rows)
    for training, test in expected:
        if not training:
            with pytest.raises(PanelError, match="no row is left for training in split"):
                next(found)
            return
        assert [each.tolist() for each in next(found)] == [training, test]
    assert list(found) == []


@given(panel_rows(), st.integers(1, 6), st.integers(0, 4), st.data())
@examples(150)
def test_walk_forward(rows: pd.DataFrame, n_splits: int, embargo: int, data: st.DataObject) -> None:
    time, known_at = as_arrays(rows)
    moments = np.unique(time)
    test_bars = data.draw(st.one_of(st.none(), st.integers(1, 5)))
    train_bars = data.draw(st.one_of(st.none(), st.integers(1, 10)))
    cv = PurgedWalkForward(n_splits, test_bars=test_bars, train_bars=train_bars, embargo=embargo)
    length = test_bars or len(moments) // (n_splits + 1)
    begin = len(moments) - n_splits * length
    if length == 0 or begin < 1:
        with pytest.raises(PanelError, match=f"different times, not {len(moments)}"):
            list(cv.split(rows, groups=rows))
        return
    expected = []
    for place in range(begin, len(moments), length):
        tested = moments[place : place + length]
        used = moments[:place][-(train_bars or place) :]
        training = [
            row
            for row in range(len(rows))
            if time[row] in used and place >= embargo and known_at[row] <= moments[place - embargo]
        ]
        expected.append((training, [row for row in range(len(rows)) if time[row] in tested]))
    assert_splits(cv, rows, expected)
    for training, test in expected:
        # No label of the training reaches into the test.
        assert all(known_at[row] <= time[test].min() and time[row] < time[test].min() for row in training)


@given(panel_rows(), st.integers(2, 6), st.integers(0, 4))
@examples(100)
def test_k_fold(rows: pd.DataFrame, n_splits: int, embargo: int) -> None:
    time, known_at = as_arrays(rows)
    moments = np.unique(time)
    cv = PurgedKFold(n_splits, embargo=embargo)
    if len(moments) < n_splits:
        with pytest.raises(PanelError, match=f"at least {n_splits} different times, not {len(moments)}"):
            list(cv.split(rows, groups=rows))
        return
    expected = []
    for begin, end in cv._tests(len(moments)):
        tested = moments[begin:end]
        test = [row for row in range(len(rows)) if time[row] in tested]
        over = max(known_at[row] for row in test)
        resumes = [moment for moment in moments if moment >= over and moment > tested[-1]][embargo:]
        training = [
            row
            for row in range(len(rows))
            if (time[row] < tested[0] and known_at[row] <= tested[0]) or time[row] in resumes
        ]
        expected.append((training, test))
        # No label of the training overlaps one of the test.
        assert all(known_at[row] <= tested[0] or time[row] >= over for row in training)
    assert sorted(row for _, test in expected for row in test) == list(range(len(rows)))
    assert_splits(cv, rows, expected)


@given(panel_rows())
@examples(20)
def test_lengths_of_tests_differ_by_one_time_at_most(rows: pd.DataFrame) -> None:
    moments = rows["time"].nunique()
    assume(moments >= 3)
    periods = list(PurgedKFold(3)._tests(moments))
    assert periods[0][0] == 0
    assert periods[-1][1] == moments
    assert all(end == begin for (_, end), (begin, _) in pairwise(periods))
    lengths = {end - begin for begin, end in periods}
    assert max(lengths) - min(lengths) <= 1


@pytest.fixture
def panel(storage: DuckDBDataStorage) -> pd.DataFrame:
    for seed, symbol in enumerate(("AAPL", "MSFT")):
        storage.store_ohlcv_data(symbol, frame(200, seed, "D", "2023-01-02"), "test", "day")
    return storage.panel(["AAPL", "MSFT"], ["return(1)", "return(5)"], targets=ForwardReturn(5)).dropna()


GROUPS = ["timestamp", "forward_return_5_known_at"]


def test_in_scikit_learn(panel: pd.DataFrame) -> None:
    features, target, groups = panel[["return_1", "return_5"]], panel["forward_return_5"], panel[GROUPS]
    model = make_pipeline(StandardScaler(), Ridge())
    for cv in (PurgedWalkForward(4, embargo=2), PurgedKFold(4, embargo=2)):
        assert isinstance(cv, BaseCrossValidator)
        assert cv.get_n_splits() == 4
        scores = cross_val_score(model, features, target, cv=cv, groups=groups)
        expected = []
        for training, test in cv.split(features, target, groups):
            fitted = clone(model).fit(features.iloc[training], target.iloc[training])
            expected.append(fitted.score(features.iloc[test], target.iloc[test]))
        np.testing.assert_allclose(scores, expected)
        search = GridSearchCV(model, {"ridge__alpha": [0.1, 10.0]}, cv=cv)
        search.fit(features.to_numpy(), target.to_numpy(), groups=groups)
        assert len(search.cv_results_["split3_test_score"]) == 2
    predicted = cross_val_predict(model, features, target, cv=PurgedKFold(4), groups=groups)
    assert np.isfinite(predicted).all()
    with sklearn.config_context(enable_metadata_routing=True):
        routed = cross_val_score(model, features, target, cv=PurgedKFold(4, embargo=2), params={"groups": groups})
    np.testing.assert_allclose(routed, scores)
    with pytest.raises(PanelError, match="the splits need the times of the rows: pass groups=panel"):
        cross_val_score(model, features, target, cv=PurgedWalkForward(3))


def test_groups_of_any_table(panel: pd.DataFrame) -> None:
    cv = PurgedWalkForward(3, embargo=1)
    expected = [(a.tolist(), b.tolist()) for a, b in cv.split(panel, groups=panel[GROUPS])]
    naive = panel[GROUPS].apply(lambda column: column.dt.tz_convert("UTC").dt.tz_localize(None))
    for groups in (
        pl.from_pandas(panel[GROUPS]),
        pa.Table.from_pandas(panel[GROUPS], preserve_index=False),
        panel[GROUPS].to_numpy(),
        naive.to_numpy("M8[ns]"),
    ):
        assert [(a.tolist(), b.tolist()) for a, b in cv.split(panel, groups=groups)] == expected
    assert [(a.tolist(), b.tolist()) for a, b in cv.split(None, groups=panel[GROUPS])] == expected
    assert [(a.tolist(), b.tolist()) for a, b in cv.split(panel.to_numpy().tolist(), groups=panel[GROUPS])] == expected


def test_mistakes(panel: pd.DataFrame) -> None:
    cv = PurgedWalkForward(3)
    times = panel[GROUPS]
    late = times.assign(known_at=times[GROUPS[1]].where(times.index != times.index[7]))[["timestamp", "known_at"]]
    for groups, message in (
        (times[:-1], f"groups has {len(times) - 1} rows, and X has {len(times)}"),
        (times[["timestamp"]], "groups must have two columns, the time and when the target is known, not 1"),
        (times[GROUPS[::-1]], "known before its bar begins: the columns of groups must be"),
        (late, "1 rows of groups have no time or no known target, the first one at place 7: leave rows"),
        (times.assign(timestamp=1), "a column of groups has no times, but values such as"),
        (times.astype(str), "a column of groups has no times, but values such as '2023"),
        (times.assign(timestamp=times["timestamp"].dt.tz_localize(None)), "one column of groups has a time zone"),
    ):
        with pytest.raises(PanelError, match=message):
            next(cv.split(panel, groups=groups))
    with pytest.raises(PanelError, match=r"no row is left for training in split 0 of 3, since no target is known"):
        next(PurgedWalkForward(3, embargo=49).split(panel, groups=times))
    with pytest.raises(
        PanelError, match=r"PurgedWalkForward.*n_splits=150.* needs rows of at least 301 different times"
    ):
        next(PurgedWalkForward(150, test_bars=2).split(panel[:4], groups=times[:4]))
    for wrong in ({"n_splits": 0}, {"test_bars": 0}, {"train_bars": -1}, {"embargo": -1}, {"embargo": 1.5}):
        with pytest.raises(PanelError, match=f"{next(iter(wrong))} must be a whole number of at least"):
            PurgedWalkForward(**wrong)  # type: ignore[arg-type]
    with pytest.raises(PanelError, match="n_splits must be a whole number of at least 2, not 1"):
        PurgedKFold(1)


def test_a_splitter_can_be_copied_and_shown() -> None:
    cv = PurgedWalkForward(3, test_bars=5, train_bars=50, embargo=2)
    assert repr(pickle.loads(pickle.dumps(cv))) == repr(cv)
    assert repr(cv) == "PurgedWalkForward(embargo=2, n_splits=3, test_bars=5, train_bars=50)"


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from lumibot_duckdb import panels

    monkeypatch.delitem(sys.modules, "lumibot_duckdb.panels.splits")
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    with pytest.raises(MissingLibraryError, match=r"scikit-learn: pip install 'lumibot-duckdb\[ml\]'"):
        panels.PurgedWalkForward  # noqa: B018
