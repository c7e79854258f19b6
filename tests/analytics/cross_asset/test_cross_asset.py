"""Several assets of a store together, against pandas and statsmodels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.cross_asset import pairs
from lumibot_duckdb.analytics.cross_asset.changes import changes
from lumibot_duckdb.analytics.errors import AnalysisError, MissingLibraryError
from lumibot_duckdb.panels import ForwardReturn
from lumibot_duckdb.storage.errors import SeriesNotFoundError

NEW_YORK = "America/New_York"
DAYS = pd.bdate_range("2023-01-02", periods=300, tz=NEW_YORK)
UTC_DAYS = pd.date_range("2022-12-01", periods=460, tz="UTC")
BTC = ("BTC", "USD")
JOINS = ("inner", "asof", "outer")


def walk(rows: int, seed: int) -> np.ndarray:
    return np.round(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, rows))), 2)


def bars(closes: Any, index: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame({"close": closes}, index=index)


FRAMES = {
    "SPY": bars(walk(300, 0), DAYS),
    "QQQ": bars(walk(300, 1), DAYS),
    "GAPS": bars(walk(250, 2), DAYS[np.sort(np.random.default_rng(0).choice(300, 250, replace=False))]),
    "FLAT": bars(0.1, DAYS),
    "SPARSE": bars(walk(25, 7), DAYS[::12]),
    "OLD": bars(walk(20, 3), pd.bdate_range("1999-01-04", periods=20, tz=NEW_YORK)),
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    with DuckDBDataStorage(tmp_path_factory.mktemp("cross")) as made:
        for symbol, frame in FRAMES.items():
            made.store_ohlcv_data(symbol, frame, "test", "day")
        made.store_ohlcv_data(BTC, bars(walk(460, 4), UTC_DAYS), "exchange", "day")
        for place, symbol in enumerate(("ES", "NQ")):
            minutes = pd.date_range("2024-01-02 09:30", periods=390, freq="min", tz=NEW_YORK)[place:]
            closes = walk(390, 5 + place)[place:]
            closes[[40, 41, 200]] = np.nan
            made.store_ohlcv_data(symbol, bars(closes, minutes), "test", "minute")
        yield made


def table(*symbols: Any, join: str = "inner") -> pd.DataFrame:
    """Return the joined closes as pandas makes them."""
    columns = []
    for symbol in symbols:
        if symbol == BTC:
            closes = pd.Series(walk(460, 4), UTC_DAYS.tz_localize(None).tz_localize(NEW_YORK), name="BTC/USD")
        else:
            closes = FRAMES[symbol]["close"].rename(symbol)
        columns.append(closes)
    if join == "asof":
        return pd.concat([column.reindex(columns[0].index, method="ffill") for column in columns], axis=1)
    return pd.concat(columns, axis=1, join=join).sort_index()


def same(found: pd.DataFrame, expected: pd.DataFrame, tolerance: float = 1e-9) -> None:
    assert found.index.tolist() == expected.index.tolist()
    assert found.columns.tolist() == expected.columns.tolist()
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("symbols", [("SPY", "QQQ"), ("GAPS", "SPY", BTC), (BTC, "SPY"), ("SPY",)])
def test_closes(storage: DuckDBDataStorage, symbols: tuple[Any, ...], join: Any) -> None:
    found = storage.closes(list(symbols), join=join)
    expected = table(*symbols, join=join)
    assert (found.index == expected.index).all()
    assert (found.index.name, str(found.index.dtype)) == ("datetime", f"datetime64[us, {NEW_YORK}]")
    same(found, expected)


def test_days_of_an_exchange_in_utc_and_of_new_york_are_the_same_days(storage: DuckDBDataStorage) -> None:
    found = storage.closes(["SPY", BTC], start="2023-01-03", end="2023-01-05")
    assert found["BTC/USD"].tolist() == walk(460, 4)[33:35].tolist()
    assert found.index.strftime("%Y-%m-%d").tolist() == ["2023-01-03", "2023-01-04"]


def test_weeks_of_an_exchange_in_utc_and_of_new_york_are_the_same_weeks(storage: DuckDBDataStorage) -> None:
    found = storage.closes(["SPY", BTC], "week", start="2023-01-09", end="2023-02-01")
    mondays = pd.date_range("2023-01-09", periods=4, freq="W-MON", tz=NEW_YORK)
    assert found.index.tolist() == mondays.tolist()
    sundays = mondays + pd.DateOffset(days=6)
    assert found["BTC/USD"].tolist() == table(BTC, join="outer")["BTC/USD"].loc[sundays].tolist()
    assert found["SPY"].tolist() == FRAMES["SPY"]["close"].loc[mondays + pd.DateOffset(days=4)].tolist()
    sql = storage.sql("FROM joined_closes(['SPY', 'BTC/USD'], 'week', NULL, NULL) ORDER BY ALL").to_pandas()
    wide = sql.pivot(index="timestamp", columns="asset_symbol", values="close")
    wide = wide.tz_localize("UTC").tz_convert(NEW_YORK).loc[mondays]
    np.testing.assert_array_equal(wide[["SPY", "BTC/USD"]], found)


def test_of_two_bars_of_a_day_the_last_one_counts(tmp_path: Any) -> None:
    times = pd.to_datetime(["2024-01-02 00:00", "2024-01-02 05:00", "2024-01-03 00:00", "2024-01-04 05:00"], utc=True)
    with DuckDBDataStorage(tmp_path) as storage:
        storage.store_ohlcv_data("BOTH", bars([1.0, 2.0, 3.0, 4.0], times), "test", "day")
        found = storage.closes("BOTH")
    assert found["BOTH"].tolist() == [2.0, 3.0, 4.0]
    assert found.index.tolist() == [pd.Timestamp(f"2024-01-0{day}", tz=NEW_YORK) for day in (2, 3, 4)]


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("method", ["returns", "log_returns", "differences", "prices"])
def test_matrices_are_those_of_pandas(storage: DuckDBDataStorage, join: Any, method: Any) -> None:
    closes = table("GAPS", "SPY", "QQQ", BTC, join=join)
    changed = {
        "returns": lambda: closes.pct_change(fill_method=None),
        "log_returns": lambda: np.log(closes).diff(),
        "differences": closes.diff,
        "prices": lambda: closes,
    }[method]()
    assets = ["GAPS", "SPY", "QQQ", BTC]
    same(storage.correlation(assets, join=join, method=method), changed.corr())
    same(storage.covariance(assets, join=join, method=method), changed.cov())


@pytest.mark.parametrize("join", JOINS)
def test_rolling_values_are_those_of_pandas(storage: DuckDBDataStorage, join: Any) -> None:
    changed = table("GAPS", "SPY", BTC, join=join).pct_change(fill_method=None)
    found = storage.correlation(["GAPS", "SPY", BTC], join=join, window=30)
    assert found.columns.tolist() == ["asset_symbol", "other_symbol", "timestamp", "correlation"]
    assert found[["asset_symbol", "other_symbol"]].drop_duplicates().to_numpy().tolist() == [
        ["GAPS", "SPY"], ["GAPS", "BTC/USD"], ["SPY", "BTC/USD"]
    ]  # fmt: skip
    for (one, other), part in found.groupby(["asset_symbol", "other_symbol"]):
        both = changed[[one, other]].dropna()
        expected = both[one].rolling(30).corr(both[other]).dropna()
        assert part["timestamp"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(part["correlation"], expected, rtol=1e-8)
    spread = storage.covariance(["SPY", "QQQ"], join=join, window=30)["covariance"]
    changed = table("SPY", "QQQ").pct_change(fill_method=None)
    np.testing.assert_allclose(spread, changed["SPY"].rolling(30).cov(changed["QQQ"]).dropna(), rtol=1e-8)


def test_beta_is_a_regression(storage: DuckDBDataStorage) -> None:
    found = storage.beta(["QQQ", "SPY", BTC], "SPY")
    changed = table("QQQ", "SPY", BTC).pct_change(fill_method=None).dropna()
    for name, row in found.iterrows():
        slope, intercept = np.polyfit(changed["SPY"], changed[str(name)], 1)
        wanted = [slope, intercept, changed["SPY"].corr(changed[str(name)]), len(changed)]
        np.testing.assert_allclose(row, wanted, rtol=1e-9, atol=1e-12)
    rolling = storage.beta("QQQ", "SPY", window=20)
    changed = table("QQQ", "SPY").pct_change(fill_method=None)
    windows = changed.rolling(20)
    beta = (windows["QQQ"].cov(changed["SPY"]) / windows["SPY"].var()).dropna()
    alpha = (windows["QQQ"].mean() - beta * windows["SPY"].mean()).dropna()
    assert rolling["timestamp"].tolist() == beta.index.tolist()
    np.testing.assert_allclose(rolling["beta"], beta, rtol=1e-8)
    np.testing.assert_allclose(rolling["alpha"], alpha, rtol=1e-7, atol=1e-12)


def test_the_benchmark_is_first_in_an_asof_join(storage: DuckDBDataStorage) -> None:
    assert storage.beta(BTC, "SPY", join="asof").loc["BTC/USD", "bars"] == 299
    assert storage.beta("SPY", BTC, join="asof").loc["SPY", "bars"] == len(UTC_DAYS) - 33  # SPY begins on 2 January


def test_lead_and_lag(storage: DuckDBDataStorage) -> None:
    found = storage.lead_lag("SPY", "QQQ", lags=5)
    changed = table("SPY", "QQQ").pct_change(fill_method=None)
    expected = [changed["SPY"].corr(changed["QQQ"].shift(-lag)) for lag in range(-5, 6)]
    assert found.index.tolist() == list(range(-5, 6))
    np.testing.assert_allclose(found["correlation"], expected, rtol=1e-10)
    assert found["bars"].tolist() == [299 - abs(lag) for lag in range(-5, 6)]
    assert storage.lead_lag("SPY", "QQQ", start="2024-02-20", lags=20)["correlation"].isna().sum() > 30  # a few bars


def test_an_asset_that_another_one_follows(tmp_path: Any) -> None:
    closes = walk(100, 9)
    with DuckDBDataStorage(tmp_path) as storage:
        storage.store_ohlcv_data("LEADS", bars(closes, DAYS[:100]), "test", "day")
        storage.store_ohlcv_data("LAGS", bars(np.roll(closes, 2)[2:], DAYS[2:100]), "test", "day")
        assert storage.lead_lag("LEADS", "LAGS")["correlation"].idxmax() == 2


def test_spread_and_ratio(storage: DuckDBDataStorage) -> None:
    found = storage.spread("SPY", "QQQ", window=20, hedge_ratio=0.5)
    closes = table("SPY", "QQQ")
    expected = pd.DataFrame({"spread": closes["SPY"] - 0.5 * closes["QQQ"], "ratio": closes["SPY"] / closes["QQQ"]})
    for name in ("spread", "ratio"):
        window = expected[name].rolling(20)
        expected[f"{name}_zscore"] = (expected[name] - window.mean()) / window.std(ddof=0)
    same(found, expected, 1e-7)


def test_ranking(storage: DuckDBDataStorage) -> None:
    symbols = ["SPY", "QQQ", "GAPS"]
    found = storage.relative_strength(symbols, n=20, benchmark="SPY")
    changed = pd.concat([FRAMES[each]["close"].pct_change(20).rename(each) for each in symbols], axis=1)
    rank = changed.rank(axis=1, ascending=False, method="min")
    expected = changed.stack().sort_index()
    rows = found.set_index(["timestamp", "asset_symbol"]).sort_index()
    assert rows.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(rows["change"], expected, rtol=1e-12)
    assert rows["rank"].tolist() == rank.stack().sort_index().tolist()
    assert rows["of"].tolist() == changed.notna().sum(axis=1).reindex(rows.index.get_level_values(0)).tolist()
    assert rows["relative"].xs("SPY", level=1).abs().max() == 0
    assert "relative" not in storage.relative_strength(symbols)


def test_breadth(storage: DuckDBDataStorage) -> None:
    symbols = ["SPY", "QQQ", "GAPS", "FLAT"]
    found = storage.breadth(symbols, n=10)
    closes = table(*symbols, join="outer")
    average = pd.concat([FRAMES[each]["close"].rolling(10).mean().rename(each) for each in symbols], axis=1)
    average["FLAT"] = average["FLAT"].where(average["FLAT"].isna(), 0.1)
    change = pd.concat([FRAMES[each]["close"].diff().rename(each) for each in symbols], axis=1)
    assert found["members"].tolist() == average.notna().sum(axis=1).tolist()
    assert found["above"].tolist() == (closes > average).sum(axis=1).tolist()
    assert found["advancers"].tolist() == (change > 0).sum(axis=1).tolist()
    assert found["decliners"].tolist() == (change < 0).sum(axis=1).tolist()
    assert found["unchanged"].tolist() == (change == 0).sum(axis=1).tolist()
    assert found["share_above"].isna().sum() == 9


CALLS: dict[str, Callable[..., pd.DataFrame]] = {
    "correlation": lambda s, **more: s.correlation(["SPY", "GAPS", BTC], window=10, **more),
    "covariance": lambda s, **more: s.covariance(["SPY", "GAPS"], window=10, **more),
    "beta": lambda s, **more: s.beta(["SPY", "GAPS"], "QQQ", window=10, **more),
    "spread": lambda s, **more: s.spread("SPY", BTC, **more),
    "relative_strength": lambda s, **more: s.relative_strength(["SPY", "GAPS", BTC], n=10, **more),
    "breadth": lambda s, **more: s.breadth(["SPY", "GAPS", BTC], n=10, **more),
    "closes": lambda s, **more: s.closes(["SPY", BTC], **more),
}
SPARSE_CALLS: dict[str, Callable[..., pd.DataFrame]] = {
    "correlation of few bars": lambda s, **more: s.correlation(["SPARSE", "SPY"], window=10, method="prices", **more),
    "spread of few bars": lambda s, **more: s.spread("SPARSE", "SPY", window=10, **more),
    "breadth of few bars": lambda s, **more: s.breadth(["SPY", "SPARSE"], n=10, **more),
}


def by_time(found: pd.DataFrame) -> pd.DataFrame:
    if "timestamp" not in found:
        return found
    names = [name for name in ("asset_symbol", "other_symbol") if name in found]
    return found.set_index(["timestamp", *names]).sort_index()


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("name", [*CALLS, *SPARSE_CALLS])
def test_values_are_those_of_the_full_history(storage: DuckDBDataStorage, name: str, join: str) -> None:
    call = (CALLS | SPARSE_CALLS)[name]
    whole = by_time(call(storage, join=join))
    for start, end in (("2023-06-15", "2023-07-01"), ("2023-01-10", "2023-02-20"), ("2024-02-01", None)):
        part = by_time(call(storage, join=join, start=start, end=end))
        times = whole.index.get_level_values(0)
        wanted = whole[(times >= pd.Timestamp(start, tz=NEW_YORK))]
        if end is not None:
            wanted = wanted[wanted.index.get_level_values(0) < pd.Timestamp(end, tz=NEW_YORK)]
        assert len(part) > 0 or len(wanted) == 0
        same(part, wanted, 1e-10)


def test_a_matrix_of_a_range_has_the_first_return(storage: DuckDBDataStorage) -> None:
    changed = table("SPY", "QQQ").pct_change(fill_method=None)
    found = storage.correlation(["SPY", "QQQ"], start="2023-06-01", end="2023-07-01")
    same(found, changed.loc["2023-06-01":"2023-06-30"].corr())


CUTS = (31, 45, 58)


@pytest.fixture(scope="module")
def futures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    """A store with the same bars from several sources, which differ in those that come after a cut."""
    with DuckDBDataStorage(tmp_path_factory.mktemp("futures")) as storage:
        for cut in (60, *CUTS):
            rng = np.random.default_rng(cut)
            for place, symbol in enumerate(("SPY", "QQQ", "GAPS", BTC)):
                closes = walk(60, place)
                closes[cut:] *= rng.uniform(0.5, 2, 60 - cut)
                index = (DAYS if symbol != BTC else DAYS.tz_localize(None).tz_localize("UTC"))[:60]
                keep = np.random.default_rng(place).uniform(size=60) > (0.2 if place > 1 else 0.0)
                keep[cut:] &= rng.uniform(size=60 - cut) > 0.1
                storage.store_ohlcv_data(symbol, bars(closes, index)[keep], f"cut{cut}", "day")
        yield storage


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("name", CALLS)
def test_no_value_depends_on_a_later_bar(futures: DuckDBDataStorage, name: str, join: str) -> None:
    whole = by_time(CALLS[name](futures, join=join, source="cut60"))
    for cut in CUTS:
        found = by_time(CALLS[name](futures, join=join, source=f"cut{cut}"))
        earlier = [made[made.index.get_level_values(0) < DAYS[cut]] for made in (whole, found)]
        assert len(earlier[0])
        pd.testing.assert_frame_equal(*earlier)


def test_minutes_and_larger_bars_with_closes_that_are_missing(storage: DuckDBDataStorage) -> None:
    minutes = storage.closes(["ES", "NQ"], "minute")
    assert (len(minutes), minutes.isna().sum().sum()) == (389 - 5, 0)
    outer = storage.closes(["ES", "NQ"], "minute", join="outer")
    assert outer.isna().sum().tolist() == [2, 3]  # where the other one has a close
    five = storage.closes(["ES", "NQ"], "5minute")
    assert len(five) == 78
    assert five["ES"].iloc[-1] == minutes["ES"].iloc[-1]
    weeks = storage.closes(["SPY", "QQQ"], "week", start="2023-02-06", end="2023-03-01")
    fridays = FRAMES["SPY"]["close"].loc[["2023-02-10", "2023-02-17", "2023-02-24", "2023-03-03"]]
    assert weeks["SPY"].tolist() == fridays.tolist()
    assert not storage.correlation(["ES", "NQ"], "hour").isna().any(axis=None)


def test_what_does_not_change_has_no_correlation(storage: DuckDBDataStorage) -> None:
    found = storage.correlation(["SPY", "FLAT", "QQQ"])
    assert found.loc["FLAT"].isna().all()
    assert found["FLAT"].isna().all()
    assert found.loc["SPY", "QQQ"] == pytest.approx(storage.correlation(["SPY", "QQQ"]).loc["SPY", "QQQ"])
    assert storage.covariance(["SPY", "FLAT"]).loc["FLAT"].tolist() == [0, 0]
    assert storage.correlation(["SPY", "FLAT"], window=10)["correlation"].isna().all()
    assert storage.beta("SPY", "FLAT")["beta"].isna().all()


def test_prices_of_zero_and_below(tmp_path: Any) -> None:
    closes = walk(60, 0)
    closes[[10, 11, 30]] = 0.0, 0.0, -37.0
    with DuckDBDataStorage(tmp_path) as storage:
        storage.store_ohlcv_data("OIL", bars(closes, DAYS[:60]), "test", "day")
        storage.store_ohlcv_data("SPY", bars(walk(60, 1), DAYS[:60]), "test", "day")
        for method, count in (("returns", 56), ("log_returns", 54), ("differences", 59), ("prices", 60)):
            whole = storage.beta("OIL", "SPY", method=method).loc["OIL"]  # type: ignore[arg-type]
            assert whole["bars"] == count
            (in_sql,) = storage.sql(f"FROM beta('OIL', 'SPY', method := '{method}')").to_pylist()
            assert (in_sql["bars"], in_sql["beta"]) == (count, pytest.approx(whole["beta"]))
            found = storage.beta("OIL", "SPY", method=method, window=5)  # type: ignore[arg-type]
            assert np.isfinite(found[["beta", "alpha", "correlation"]]).all(axis=None)
        assert not np.isinf(storage.spread("SPY", "OIL")).any(axis=None)
        strength = storage.relative_strength(["SPY", "OIL"], n=1, benchmark="OIL")
        assert not np.isinf(strength[["change", "relative"]]).any(axis=None)
        oil = strength[strength["asset_symbol"] == "OIL"]
        since = closes[DAYS.get_indexer(oil["timestamp"]) - 1]
        assert (since > 0).all()
        assert len(oil) == 56
        assert oil["relative"].dropna().abs().max() < 1e-12
        # Down to -37, and up from there: a difference is both.
        breadth = storage.breadth(["OIL"], n=1)
        assert breadth.loc[DAYS[[30, 31]], ["advancers", "decliners"]].to_numpy().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_a_return_is_the_same_wherever_it_is_computed(seed: int, tmp_path: Any) -> None:
    """Also of prices of 0 and below."""
    closes = np.round(np.random.default_rng(seed).normal(5, 10, 60))
    closes[40] = 0.0
    with DuckDBDataStorage(tmp_path) as storage:
        storage.store_ohlcv_data("OIL", bars(closes, DAYS[:60]), "test", "day")
        storage.label("OIL", "sector", "Energy")
        expected = pd.Series(closes, DAYS[:60]).pct_change().where(closes[np.r_[0, 0:59]] > 0)
        panel = storage.panel("OIL", ["return", "log_return"], targets=[ForwardReturn(1), ForwardReturn(1, log=True)])
        found = {
            "panel": panel["return_1"].to_numpy(),
            "target": panel["forward_return_1"].shift().to_numpy(),
            "by_label": storage.by_label("sector")["mean_return"].to_numpy(),
            "by_label in SQL": storage.sql("FROM by_label('sector') ORDER BY timestamp").to_pandas()["mean_return"],
            "strength": storage.relative_strength("OIL", n=1).set_index("timestamp")["change"].reindex(DAYS[:60]),
            "changes": changes(closes[:, None], "returns")[:, 0],
            "in SQL": in_sql_by_time(storage, "returns"),
        }
        for place, values in found.items():
            np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=place)
        with np.errstate(all="ignore"):
            logs = pd.Series(np.log(closes), DAYS[:60]).diff().replace([np.inf, -np.inf], np.nan)
        found = {
            "panel": panel["log_return_1"].to_numpy(),
            "target": panel["forward_log_return_1"].shift().to_numpy(),
            "changes": changes(closes[:, None], "log_returns")[:, 0],
            "in SQL": in_sql_by_time(storage, "log_returns"),
        }
        for place, values in found.items():
            np.testing.assert_allclose(values, logs, rtol=1e-9, err_msg=place)


def in_sql_by_time(storage: DuckDBDataStorage, method: str) -> Any:
    query = f"FROM joined_changes('OIL', 'day', '{method}', NULL, NULL) ORDER BY timestamp"
    return storage.sql(query).to_pandas()["change"].to_numpy()


def test_one_asset_twice_counts_once(storage: DuckDBDataStorage) -> None:
    found = storage.correlation(["SPY", "spy", "QQQ"])
    assert found.columns.tolist() == ["SPY", "QQQ"]
    assert storage.beta("SPY", "SPY").loc["SPY", "beta"] == pytest.approx(1)


def test_an_earlier_state(tmp_path: Any) -> None:
    with DuckDBDataStorage(tmp_path) as storage:
        for symbol in ("SPY", "QQQ"):
            storage.store_ohlcv_data(symbol, FRAMES[symbol], "test", "day")
        before = storage.correlation(["SPY", "QQQ"])
        storage.snapshot("before")
        moment = datetime.now(timezone.utc)
        storage.store_ohlcv_data("QQQ", FRAMES["SPY"], "test", "day")
        assert storage.correlation(["SPY", "QQQ"]).loc["SPY", "QQQ"] == pytest.approx(1)
        for as_of in ("before", moment):
            same(storage.correlation(["SPY", "QQQ"], as_of=as_of), before)


def test_cointegration_is_that_of_statsmodels(storage: DuckDBDataStorage) -> None:
    stattools = pytest.importorskip("statsmodels.tsa.stattools")
    from statsmodels.regression.linear_model import OLS

    found = storage.cointegration("SPY", "QQQ")
    closes = table("SPY", "QQQ")
    statistic, p_value, critical = stattools.coint(closes["SPY"], closes["QQQ"])
    assert (found.statistic, found.p_value, found.bars) == pytest.approx((statistic, p_value, 300))
    assert [*found.critical_values.values()] == pytest.approx(critical.tolist())
    exog = np.column_stack([np.ones(300), closes["QQQ"]])
    assert (found.intercept, found.hedge_ratio) == pytest.approx(OLS(closes["SPY"].to_numpy(), exog).fit().params)
    logs = np.log(closes)
    assert storage.cointegration("SPY", "QQQ", log=True).p_value == pytest.approx(
        stattools.coint(logs["SPY"], logs["QQQ"])[1]
    )


def test_pairs_that_cannot_be_tested(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_statsmodels_coint", lambda: pytest.fail)
    for first, second, message in (
        ("SPY", "FLAT", "a price is constant"),
        ("SPY", "SPY", "name two different assets, not SPY twice"),
    ):
        with pytest.raises(AnalysisError, match=message):
            storage.cointegration(first, second)
    with pytest.raises(AnalysisError, match="needs 20 bars, and SPY and QQQ have 5 in common"):
        storage.cointegration("SPY", "QQQ", end="2023-01-09")


def test_without_statsmodels(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.tsa.stattools", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'lumibot-duckdb\[analytics\]'"):
        storage.cointegration("SPY", "QQQ")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.correlation(["SPY", "OLD"]), "no day bars of SPY, OLD have the same time"),
        (lambda s: s.correlation(["SPY", "OLD"]), "1999-01-04 to 1999-01-29"),
        (lambda s: s.correlation(["SPY", "OLD"]), "or join='asof' or 'outer'"),
        (
            lambda s: s.correlation(["SPY", "OLD"], start="2023-02-01"),
            "OLD stock, .*: no bars from 2023-02-01; there are bars from 1999",
        ),
        (
            lambda s: s.closes("SPY", start="2030-01-01", join="outer"),
            "SPY stock, .*: no bars from 2030-01-01; there are",
        ),
        (
            lambda s: s.closes("SPY", start="2023-02-01", end="2023-02-01"),
            "start, 2023-02-01, is not before end, 2023-02",
        ),
        (lambda s: s.correlation("SPY"), "name at least 2 assets"),
        (lambda s: s.correlation([]), "name at least 2 assets, not \\[\\]"),
        (lambda s: s.closes([]), "name at least 1 asset, not \\[\\]"),
        (lambda s: s.correlation(["SPY", "SPY"], window=5), "name at least 2 different assets, not only SPY"),
        (lambda s: s.correlation(["SPY", "spy"]), "name at least 2 different assets, not only SPY"),
        (lambda s: s.covariance(["SPY", "SPY", "SPY"]), "name at least 2 different assets, not only SPY"),
        (lambda s: s.correlation(["SPY", "QQQ"], window=1), "window must be a whole number from 2 to 100000, not 1"),
        (lambda s: s.correlation(["SPY", "QQQ"], window=2.5), "window must be a whole number"),
        (lambda s: s.correlation(["SPY", "QQQ"], method="return"), "'return' is not a method: write one of returns,"),
        (lambda s: s.correlation(["SPY", "QQQ"], join="left"), "'left' is not a join: write one of inner, asof, outer"),
        (lambda s: s.beta("SPY", "QQQ", window=True), "window must be a whole number"),
        (lambda s: s.spread("SPY", "SPY"), "name two different assets, not SPY twice"),
        (lambda s: s.spread("SPY", "QQQ", hedge_ratio=float("nan")), "hedge_ratio must be a number, not nan"),
        (lambda s: s.lead_lag("SPY", "QQQ", lags=0), "lags must be a whole number from 1"),
        (lambda s: s.breadth(["SPY"], n=0), "n must be a whole number from 1"),
        (lambda s: s.relative_strength(["SPY"], n=-1), "n must be a whole number from 1"),
    ],
)
def test_mistakes(storage: DuckDBDataStorage, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        call(storage)


def test_an_unknown_symbol(storage: DuckDBDataStorage, tmp_path: Any) -> None:
    with pytest.raises(SeriesNotFoundError, match=r"no day bars of QQQQ; did you mean QQQ\?"):
        storage.correlation(["SPY", "QQQQ"])
    with pytest.raises(SeriesNotFoundError, match=r"no minute bars of SPY; it has: [^?]*$"):
        storage.correlation(["SPY", "QQQ"], "minute")
    with pytest.raises(SeriesNotFoundError, match="there is no store"):
        DuckDBDataStorage(tmp_path / "none").correlation(["SPY", "QQQ"])
