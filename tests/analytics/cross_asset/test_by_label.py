"""Returns of groups of assets, in Python and in SQL, against a plain groupby of pandas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.analytics.errors import AnalysisError
from lumibot_duckdb.storage.errors import LabelNotFoundError, SeriesNotFoundError

NEW_YORK = "America/New_York"
DAYS = pd.bdate_range("2023-01-02", periods=120, tz=NEW_YORK)
UTC_DAYS = pd.date_range("2023-01-10", periods=150, tz="UTC")
BTC = ("BTC", "USD")
SECTORS = {
    "A": ["Tech"],
    "B": ["Tech", "Energy"],
    "C": ["Energy"],
    "D": ["Energy"],
    "BTC/USD": ["Coins"],
    "LATE": ["Tech"],
}
DATA = Path(__file__).parents[4] / "shared" / "data" / "us_equities_daily.parquet"


def bars(rows: int, seed: int, index: pd.DatetimeIndex) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.02, rows))), 1)  # some do not change
    return pd.DataFrame({"close": closes, "volume": rng.integers(0, 50, rows).astype(float)}, index=index)


def frames() -> dict[str, pd.DataFrame]:
    found = {symbol: bars(120, seed, DAYS) for seed, symbol in enumerate("AB")}
    found["C"] = bars(120, 2, DAYS)[np.random.default_rng(9).uniform(size=120) > 0.3]
    found["C"].iloc[[3, 20], 1] = np.nan
    found["C"].iloc[11, 0] = np.nan
    found["D"] = bars(120, 3, DAYS).drop(columns="volume")
    found["LATE"] = bars(20, 4, DAYS[100:])
    found["BTC/USD"] = bars(150, 5, UTC_DAYS)
    return found


FRAMES = frames()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    with DuckDBDataStorage(tmp_path_factory.mktemp("labels")) as made:
        for symbol, frame in FRAMES.items():
            made.store_ohlcv_data(BTC if "/" in symbol else symbol, frame, "test", "day")
        made.store_ohlcv_data("OTHER", FRAMES["A"], "test", "day")
        made.store_ohlcv_data("GONE", FRAMES["A"], "test", "day")
        made.label({BTC if "/" in symbol else symbol: {"sector": sectors} for symbol, sectors in SECTORS.items()})
        made.label("GONE", "sector", "Gone")
        made.delete_series("GONE")
        yield made


def plain(frames: dict[str, pd.DataFrame], sectors: dict[str, list[str]], weights: str = "equal") -> pd.DataFrame:
    """Return the aggregates as a groupby of a long table makes them."""
    parts = []
    for symbol, frame in frames.items():
        part = frame.dropna(subset="close").assign(symbol=symbol)
        if "/" in symbol:
            part = part.tz_localize(None).tz_localize(NEW_YORK)
        if "volume" not in part:
            part["volume"] = np.nan
        part["change"] = part["close"].pct_change(fill_method=None).where(part["close"].shift() > 0)
        part["weight"] = 1.0 if weights == "equal" else (part["close"] * part["volume"]).shift()
        parts.append(part.rename_axis("timestamp").reset_index())
    pairs = [(symbol, sector) for symbol, of_symbol in sectors.items() for sector in of_symbol]
    long = pd.concat(parts).merge(pd.DataFrame(pairs, columns=["symbol", "value"]), on="symbol")
    long["weight"] = long["weight"].where(long["change"].notna() & (long["weight"] > 0))
    long["weighted"] = long["change"] * long["weight"]
    for name, sign in (("advancers", 1), ("decliners", -1), ("unchanged", 0)):
        long[name] = np.sign(long["change"]) == sign
    groups = long.groupby(["value", "timestamp"])
    found = groups[["advancers", "decliners", "unchanged"]].sum()
    found["members"] = groups["change"].count()
    found["mean_return"] = groups["weighted"].sum(min_count=1) / groups["weight"].sum(min_count=1)
    found["median_return"] = groups["change"].median()
    found["volume"] = groups["volume"].sum(min_count=1)
    kept = (1 + found["mean_return"].fillna(0)).groupby("value")
    found["level"] = kept.cumprod().where(kept.cummin() >= 0)  # a gain of a debt would be a larger debt
    return found


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    rows = found.set_index(["value", "timestamp"]).sort_index()
    assert rows.index.tolist() == expected.index.tolist()
    assert set(rows.columns) == set(expected.columns)
    wanted = expected[rows.columns].astype(float)
    np.testing.assert_allclose(rows.to_numpy(float), wanted.to_numpy(), rtol=1e-9, atol=1e-12)


def in_sql(client: Any, arguments: str = "'sector'") -> pd.DataFrame:
    found: pd.DataFrame = client.sql(f"FROM by_label({arguments})").to_pandas()
    found["timestamp"] = found["timestamp"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK)
    return found


@pytest.mark.parametrize("weights", ["equal", "dollar_volume"])
def test_values_are_those_of_a_groupby(storage: DuckDBDataStorage, weights: Any) -> None:
    expected = plain(FRAMES, SECTORS, weights)
    missing = expected["mean_return"].isna().sum()
    assert missing == 3 if weights == "equal" else missing > 3
    found = storage.by_label("Sector", weights=weights)
    same(found, expected)
    assert found.columns.tolist()[:4] == ["value", "timestamp", "members", "mean_return"]
    assert str(found["timestamp"].dtype) == f"datetime64[us, {NEW_YORK}]"
    same(in_sql(storage, f"'Sector', weights := '{weights}'"), expected)


def test_any_client_has_the_macro(storage: DuckDBDataStorage) -> None:
    storage.close()
    with duckdb.connect(str(storage.path), read_only=True) as client:
        assert client.execute("SELECT DISTINCT value FROM by_label('sector') ORDER BY 1").fetchall() == [
            ("Coins",), ("Energy",), ("Tech",)
        ]  # fmt: skip
        joined = "ohlcv_data JOIN asset_labels USING (asset_symbol, asset_type, exchange)"
        tech = f"SELECT count(DISTINCT asset_symbol) FROM {joined} WHERE name = 'sector' AND value = 'Tech'"
        assert client.execute(tech).fetchall() == [(3,)]
        for label, shown in (("'nope'", "nope"), ("NULL", "NULL")):
            with pytest.raises(duckdb.InvalidInputException, match=f"no asset that has bars has a label '{shown}'"):
                client.execute(f"FROM by_label({label})")
        with pytest.raises(duckdb.InvalidInputException, match="'x' are no weights: write 'equal' or"):
            client.execute("FROM by_label('sector', weights := 'x')")


@pytest.mark.parametrize("weights", ["equal", "dollar_volume"])
@pytest.mark.parametrize("join", ["outer", "inner"])
def test_a_range_has_the_values_of_the_full_history(storage: DuckDBDataStorage, join: Any, weights: Any) -> None:
    symbols = ["A", "B", "C", "D"]
    whole = storage.by_label("sector", symbols=symbols, weights=weights, join=join).drop(columns="level")
    for start, end in (("2023-02-01", "2023-03-01"), ("2023-01-03", "2023-01-09"), ("2023-05-01", None)):
        part = storage.by_label("sector", start=start, end=end, symbols=symbols, weights=weights, join=join)
        times = whole["timestamp"]
        within = (times >= pd.Timestamp(start, tz=NEW_YORK)) & (times < pd.Timestamp(end or "2100-01-01", tz=NEW_YORK))
        pd.testing.assert_frame_equal(part.drop(columns="level"), whole[within].reset_index(drop=True), rtol=1e-12)
        level = (1 + part["mean_return"].fillna(0)).groupby(part["value"]).cumprod()
        np.testing.assert_allclose(part["level"], level)


def test_no_value_depends_on_a_later_bar(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    """Later bars are changed at random, and so is the volume of the bar itself, which weights must not know."""
    cut = DAYS[80]
    with DuckDBDataStorage(tmp_path) as other:
        for symbol, frame in FRAMES.items():
            changed = frame.copy()
            later = changed.index > cut
            changed.loc[later, "close"] *= np.random.default_rng(1).uniform(0.5, 2, later.sum())
            if "volume" in changed:
                changed.loc[changed.index >= cut.normalize(), "volume"] = 7.0
            other.store_ohlcv_data(BTC if "/" in symbol else symbol, changed, "test", "day")
        other.label({BTC if "/" in symbol else symbol: {"sector": sectors} for symbol, sectors in SECTORS.items()})
        for weights in ("equal", "dollar_volume"):
            one, two = (
                each[each["timestamp"] <= cut].drop(columns="volume")
                for s in (storage, other)
                for each in [s.by_label("sector", weights=weights)]  # type: ignore[arg-type]
            )
            pd.testing.assert_frame_equal(one, two)
            sql = in_sql(other, f"'sector', weights := '{weights}'")
            same(sql[sql["timestamp"] <= cut].drop(columns="volume"), two.set_index(["value", "timestamp"]))
        known = storage.breadth(storage.labelled("sector"), n=10, label="sector")
        later_known = other.breadth(other.labelled("sector"), n=10, label="sector")
        pd.testing.assert_frame_equal(known[known["timestamp"] <= cut], later_known[later_known["timestamp"] <= cut])


@given(data=st.data())
@examples(10)
def test_random_bars_and_labels(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    days = pd.date_range("2024-01-02", periods=6, tz=NEW_YORK)
    prices = st.sampled_from([1.0, 2.0, 2.5, 0.0, np.nan])
    found: dict[str, pd.DataFrame] = {}
    for symbol in "ABC":
        rows = data.draw(st.sets(st.integers(0, 5), min_size=1).map(sorted))
        columns = {
            "close": data.draw(st.lists(prices, min_size=len(rows), max_size=len(rows))),
            "volume": data.draw(
                st.lists(st.sampled_from([0.0, 3.0, 10.0, np.nan]), min_size=len(rows), max_size=len(rows))
            ),
        }
        columns["close"][0] = 1.0
        found[symbol] = pd.DataFrame(columns, index=days[rows])
    sectors = {symbol: sorted(data.draw(st.sets(st.sampled_from("xy"), min_size=1))) for symbol in "ABC"}
    weights: Any = data.draw(st.sampled_from(["equal", "dollar_volume"]))
    with DuckDBDataStorage(tmp_path_factory.mktemp("random")) as storage:
        for symbol, frame in found.items():
            storage.store_ohlcv_data(symbol, frame, "test", "day")
        storage.label(sectors, "group")
        expected = plain(found, sectors, weights)
        same(storage.by_label("group", weights=weights), expected)
        same(in_sql(storage, f"'group', weights := '{weights}'"), expected)


def test_larger_bars_of_minutes(tmp_path: Path) -> None:
    minutes = pd.date_range("2024-01-02 09:30", periods=390, freq="min", tz=NEW_YORK)
    of_minutes = {symbol: bars(390, seed, minutes) for seed, symbol in enumerate("AB")}
    with DuckDBDataStorage(tmp_path) as storage:
        for symbol, frame in of_minutes.items():
            storage.store_ohlcv_data(symbol, frame, "test", "minute")
        storage.label(["A", "B"], "group", "x")
        larger = {
            symbol: frame.resample("30min").agg({"close": "last", "volume": "sum"})
            for symbol, frame in of_minutes.items()
        }
        expected = plain(larger, {"A": ["x"], "B": ["x"]}, "dollar_volume")
        same(storage.by_label("group", "30 minutes", weights="dollar_volume"), expected)
        same(in_sql(storage, "'group', timeframe := '30 minutes', weights := 'dollar_volume'"), expected)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
def test_real_stocks(tmp_path: Path) -> None:
    table = pd.read_parquet(DATA)
    index = pd.DatetimeIndex(pd.to_datetime(table["date"])).tz_localize(NEW_YORK)
    real = {symbol: part[["close", "volume"]] for symbol, part in table.set_index(index).groupby("symbol")}
    sectors = {symbol: ["Financials"] if symbol in ("AIG", "BAC") else ["Others", "All"] for symbol in real}
    with DuckDBDataStorage(tmp_path) as storage:
        for symbol, frame in real.items():
            storage.store_ohlcv_data(symbol, frame, "test", "day")
        storage.label(sectors, "sector")
        for weights in ("equal", "dollar_volume"):
            expected = plain(real, sectors, weights)
            assert len(expected) > 15_000
            same(storage.by_label("sector", weights=weights), expected)  # type: ignore[arg-type]
            same(in_sql(storage, f"'sector', weights := '{weights}'"), expected)


def test_breadth_of_groups(storage: DuckDBDataStorage) -> None:
    found = storage.breadth(storage.labelled("sector"), n=10, label="sector")
    for value in ("Coins", "Energy", "Tech"):
        part = found[found["value"] == value].drop(columns="value").set_index("timestamp")
        members = [BTC if "/" in symbol else symbol for symbol, sectors in SECTORS.items() if value in sectors]
        pd.testing.assert_frame_equal(part, storage.breadth(members, n=10), check_names=False, check_freq=False)
    with_others = storage.breadth([*storage.labelled("sector"), "OTHER"], n=10, label="sector")
    pd.testing.assert_frame_equal(found, with_others)


@pytest.mark.parametrize("weights", ["equal", "dollar_volume"])
def test_prices_of_zero_and_below(weights: Any, tmp_path: Path) -> None:
    """A fall to such a price is a loss; what follows is no return, since a rise would count as a loss, too."""
    oil = bars(6, 0, DAYS[:6]).assign(close=[20.0, 18.0, -37.0, 10.0, 0.0, 12.0], volume=5.0)
    two = {"OIL": oil, "A": bars(6, 1, DAYS[:6])}
    with DuckDBDataStorage(tmp_path) as made:
        for symbol, frame in two.items():
            made.store_ohlcv_data(symbol, frame, "test", "day")
        made.label({"OIL": {"sector": "Energy"}, "A": {"sector": ["Energy", "Tech"]}})
        expected = plain(two, {"OIL": ["Energy"], "A": ["Energy", "Tech"]}, weights)
        assert expected.loc["Energy", "members"].tolist() == [0, 2, 2, 1, 2, 1]
        assert expected.loc["Energy", "level"].isna().sum() == (4 if weights == "equal" else 0)
        same(made.by_label("sector", weights=weights), expected)
        same(in_sql(made, f"'sector', weights := '{weights}'"), expected)


def test_mistakes(storage: DuckDBDataStorage) -> None:
    with pytest.raises(LabelNotFoundError, match="no asset has a label 'sektor'; did you mean sector\\?"):
        storage.by_label("sektor")
    with pytest.raises(AnalysisError, match="'cap' are no weights: write one of equal, dollar_volume"):
        storage.by_label("sector", weights="cap")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="write join='outer' or 'inner', not 'asof'"):
        storage.by_label("sector", join="asof")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="none of these assets has the label 'sector'"):
        storage.by_label("sector", symbols=["OTHER"])
    with pytest.raises(SeriesNotFoundError, match="no minute bars of"):
        storage.by_label("sector", "minute")
    with pytest.raises(AnalysisError, match="A, B, BTC/USD, C and 2 more: no day bars from"):
        storage.by_label("sector", start="2100-01-01")
