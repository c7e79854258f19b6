"""Labels of assets: what may be passed, which assets are meant, and which mistakes are refused."""

from __future__ import annotations

import datetime as dt
import io
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from lumibot.entities import Asset

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, LabelChange, TimeRange
from lumibot_duckdb.storage.connection.lock import StoreLock
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    AmbiguousSeriesError,
    InvalidRecordError,
    LabelNotFoundError,
    ReplicaError,
    SeriesNotFoundError,
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
)
from storage.frames import minute_bars

FRAME = minute_bars(rows=2)
OPTION = AssetKey("AAPL", "option", expiration=dt.date(2024, 1, 19), strike=190.0, right="CALL")
BTC = AssetKey("BTC", "crypto", "USD")
ASSETS: tuple[Any, ...] = ("AAPL", "MSFT", "XOM", BTC, OPTION)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBDataStorage]:
    with DuckDBDataStorage(tmp_path_factory.mktemp("labels")) as made:
        for asset in ASSETS:
            made.store_ohlcv_data(asset, FRAME, "test", "minute")
        yield made


@pytest.fixture
def unlabelled(shared: DuckDBDataStorage) -> DuckDBDataStorage:
    """The store that several tests share, in which no asset has a label."""
    shared.unlabel(list(ASSETS))
    return shared


@pytest.fixture
def stored(shared: DuckDBDataStorage, tmp_path: Path) -> Iterator[DuckDBDataStorage]:
    """A store of the test's own."""
    shared.unlabel(list(ASSETS))
    shared.close()
    shutil.copy(shared.path, tmp_path)
    with DuckDBDataStorage(tmp_path) as copied:
        yield copied


def found(storage: DuckDBDataStorage) -> list[tuple[str, ...]]:
    return [tuple(row) for row in storage.labels()[["asset_symbol", "name", "value"]].itertuples(index=False)]


TECH = [("AAPL", "sector", "Tech"), ("MSFT", "sector", "Tech")]
EQUAL: dict[str, Any] = {
    "a list": (["aapl", Asset("MSFT")], "Sector ", " Tech"),
    "a set": ({"AAPL", "MSFT"}, "sector", ["Tech", "Tech"]),
    "a mapping": ({"AAPL": "Tech", "MSFT": ["Tech"], "XOM": None}, "sector"),
    "a mapping of names": ({"AAPL": {"sector": "Tech"}, "MSFT": {"SECTOR": {"Tech"}}},),
    "a series": (pd.Series({"AAPL": "Tech", "MSFT": "Tech", "XOM": np.nan}, name="sector"),),
    "a column": (pd.DataFrame({"Symbol": ["AAPL", "MSFT", "XOM"], "Sector": ["Tech", "Tech", None]}),),
    "an index": (pd.DataFrame({"sector": ["Tech", "Tech", pd.NA]}, index=["AAPL", "MSFT", "XOM"]),),
    "some rows of a table": (
        pd.DataFrame({"symbol": ["XOM", "AAPL", "MSFT"], "sector": ["", "Tech", "Tech"]}).iloc[1:],
    ),
    "polars": (pl.DataFrame({"ticker": ["AAPL", "MSFT", "XOM"], "sector": ["Tech", "Tech", None]}),),
    "Arrow": (pa.table({"symbol": ["AAPL", "MSFT", "XOM"], "name": ["sector"] * 3, "value": ["Tech", "Tech", ""]}),),
}


@pytest.mark.parametrize("arguments", EQUAL.values(), ids=EQUAL)
def test_what_may_be_passed(unlabelled: DuckDBDataStorage, arguments: tuple[Any, ...]) -> None:
    report = unlabelled.label(*arguments, dry_run=True)
    assert found(unlabelled) == []
    assert [(change.asset.symbol, change.before, change.after) for change in report.changes] == [
        ("AAPL", (), ("Tech",)), ("MSFT", (), ("Tech",))
    ] or isinstance(arguments[0], set)  # fmt: skip
    unlabelled.label(*arguments)
    assert found(unlabelled) == TECH
    again = unlabelled.label(*arguments)
    assert (again.changes, again.unchanged) == ((), 2)


def test_several_values_and_what_replaces_them(unlabelled: DuckDBDataStorage) -> None:
    unlabelled.label("AAPL", "index", ["S&P 500", "Nasdaq 100"])
    unlabelled.label("AAPL", "code", 4510)
    unlabelled.label("AAPL", "index", "Dow", add=True)
    assert found(unlabelled) == [
        ("AAPL", "code", "4510"),
        *(("AAPL", "index", value) for value in ("Dow", "Nasdaq 100", "S&P 500")),
    ]
    (change,) = unlabelled.label("AAPL", "index", "Russell").changes
    assert change == LabelChange(AssetKey("AAPL"), "index", ("Dow", "Nasdaq 100", "S&P 500"), ("Russell",))
    assert unlabelled.unlabel("AAPL", "index", "Dow").changes == ()
    assert [change.after for change in unlabelled.unlabel(["AAPL", "MSFT"]).changes] == [(), ()]
    assert found(unlabelled) == []


def test_labels_that_were_returned_can_be_stored_again(stored: DuckDBDataStorage, tmp_path: Path) -> None:
    for asset in ASSETS:
        stored.label(asset, "tag", ["x", asset if isinstance(asset, str) else "y"])
    with DuckDBDataStorage(tmp_path / "other") as other:
        for asset in ASSETS:
            other.store_ohlcv_data(asset, FRAME, "test", "minute")
        other.label(stored.labels())
        pd.testing.assert_frame_equal(other.labels(), stored.labels())
        assert other.labelled("tag") == stored.labelled("TAG")
        assert set(other.labelled("tag")) == {AssetKey("AAPL"), AssetKey("MSFT"), AssetKey("XOM"), BTC, OPTION}
    assert stored.labels("tag").equals(stored.labels())


@pytest.mark.older_duckdb
def test_which_assets_are_meant(stored: DuckDBDataStorage) -> None:
    stored.label(["AAPL", "BTC", ("BTC", "USD")], "tag", "x")  # a symbol is the stock if there is one
    assert stored.labelled("tag", "x") == [AssetKey("AAPL"), BTC]
    stored.store_ohlcv_data(AssetKey("BTC", "crypto", "USDT"), FRAME, "test", "minute")
    with pytest.raises(AmbiguousSeriesError, match="BTC stands for several assets: BTC/USD crypto, BTC/USDT crypto"):
        stored.label("BTC", "tag", "y")
    with pytest.raises(
        SeriesNotFoundError, match=r"no bars of APPL \(did you mean AAPL\?\), QQQQQ, and an asset needs"
    ):
        stored.label(["APPL", "MSFT", "QQQQQ"], "tag", "y")
    assert stored.labelled("tag") == [AssetKey("AAPL"), BTC]
    assert stored.label(["APPL", "MSFT", "APPL"], "tag", "y", skip_unknown=True).skipped == ("APPL",)
    with pytest.raises(SeriesNotFoundError):
        stored.unlabel("APPL")


def test_labels_outlast_bars(stored: DuckDBDataStorage) -> None:
    stored.label(["AAPL", "MSFT"], "tag", "x")
    stored.delete_series("MSFT")
    assert [symbol for symbol, *_ in found(stored)] == ["AAPL", "MSFT"]
    assert stored.labelled("tag") == [AssetKey("AAPL")]
    stored.label("MSFT", "tag", "y")
    stored.unlabel("MSFT")
    with pytest.raises(SeriesNotFoundError):
        stored.label("MSFT", "tag", "x")
    stored.record_coverage("MSFT", TimeRange(0, 60), "test", "minute")
    stored.label("MSFT", "tag", "x")
    assert stored.labelled("tag") == [AssetKey("AAPL")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("AAPL",), 'pass the name of the label and its value, such as label("AAPL", "sector", "Technology")'),
        (("AAPL", "sector"), "pass the name of the label and its value"),
        (("AAPL", "a=b", "x"), "'a=b' cannot name a label, because of the '='"),
        (("AAPL", " ", "x"), "' ' cannot be the name of a label"),
        (("AAPL", "x", "a\nb"), r"'a\nb' cannot be the value of a label"),
        (("AAPL", "x", "\ud800"), "is not valid text"),
        (("AAPL", "x", True), "True is not a string"),
        (("AAPL", "x", float("nan")), "nan is not a string"),
        (("AAPL", "x", []), "a label needs a value: to remove one, use unlabel"),
        (("AAPL", "x", {"a": 1}), "cannot be the value of a label: pass a text"),
        ((" ", "x", "y"), "has no symbol to look up"),
        (({"AAPL": "Tech"},), "'AAPL' has the value 'Tech', but which label is it of?"),
        (({"AAPL": {"a": "b"}}, "sector"), "leave out name, which is 'sector'"),
        (({"AAPL": "Tech"}, "sector", "x"), "a mapping or a table has its own values"),
        ((pd.DataFrame({"sector": ["x"]}),), "no column of symbols: call one symbol or ticker or asset_symbol"),
        ((pd.DataFrame({"symbol": ["AAPL"]}),), "the table has no labels"),
        ((pd.DataFrame({"symbol": [None], "a": ["x"]}),), "row 1 of the table has no symbol"),
        ((pd.DataFrame({"symbol": ["A"], "ticker": ["A"], "a": ["x"]}),), "columns symbol and ticker: keep one"),
        ((pd.DataFrame([["A", "x", "y"]], columns=["symbol", "a", "A"]),), "two columns of the table have the same"),
        (
            (pd.DataFrame([["AAPL", "MSFT", "x"]], columns=["symbol", "Symbol", "a"]),),
            "two columns of the table have the same",
        ),
        (  # the first fields are the index
            (pd.read_csv(io.StringIO("symbol,a\nAAPL,MSFT,x\n")),),
            "column symbol and an index, which begins with 'AAPL': if the column has the symbols, pass table.reset_",
        ),
        ((pd.DataFrame({"symbol": ["AAPL"], "a": ["x"]}, index=pd.DatetimeIndex(["2024"])),), "and an index"),
        ((pd.DataFrame({"symbol": ["AAPL", "MSFT"], "a": ["x", "y"]}, index=[0.5, 1]),), "and an index"),
        (
            (pd.DataFrame({"symbol": ["AAPL", "MSFT"], "a": [None, " "], "b": [np.nan, pd.NA]}),),
            "all cells of a, b are",
        ),
        ((pa.table({"symbol": ["AAPL"], "name": ["x"], "value": [""]}),), "the table has no values"),
        (
            (pd.DataFrame({"symbol": ["AAPL", "aapl"], "a": ["x", "y"]}),),
            "two values of a, 'x' and 'y'. If it has both",
        ),
        ((pd.DataFrame({"asset_symbol": ["X Y"], "asset_type": ["crypto "], "a": ["x"]}),), "the store has no bars of"),
        ((pd.DataFrame({"symbol": ["AAPL"], "a": ["x"]}), "a"), "a table names its labels: leave out name"),
    ],
)
def test_mistakes_change_nothing(unlabelled: DuckDBDataStorage, arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises((InvalidRecordError, SeriesNotFoundError)) as raised:
        unlabelled.label(*arguments)
    assert says in str(raised.value)
    assert found(unlabelled) == []


def test_unknown_labels(storage: DuckDBDataStorage) -> None:
    assert storage.labels().columns.tolist() == ["asset_symbol", "asset_type", "exchange", "name", "value"]
    assert not storage.path.exists()
    with pytest.raises(LabelNotFoundError, match="no asset has a label 'sector'; there are no labels"):
        storage.labelled("sector")
    with pytest.raises(StoreNotFoundError):
        storage.label("AAPL", "a", "b")
    storage.store_ohlcv_data("AAPL", FRAME, "test", "minute")
    storage.label("AAPL", "sector", "Technology")
    with pytest.raises(LabelNotFoundError, match="no asset has a label 'sectr'; did you mean sector"):
        storage.labels("sectr")
    with pytest.raises(LabelNotFoundError, match="no asset has the sector 'technology'; did you mean Technology"):
        storage.labelled("sector", "technology")
    with pytest.raises(LabelNotFoundError, match="the sector 'x'; there is Technology"):
        storage.labelled("sector", "x")
    with pytest.raises(InvalidRecordError, match="which label is the value 'x' of"):
        storage.unlabel("AAPL", value="x")


def test_they_are_text_and_not_sql(unlabelled: DuckDBDataStorage) -> None:
    name, value = "x'; drop table bar; --", "Robert\"); DELETE FROM {db}.bar; --'"
    unlabelled.label("AAPL", name, value)
    assert unlabelled.labelled(name, value) == [AssetKey("AAPL")]
    assert len(unlabelled.get_historical_prices("AAPL")) == 2


def test_a_busy_store_and_what_waits_beside_it(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.store_ohlcv_data("OTHER", FRAME, "test", "minute")
    storage.close()
    monkeypatch.setattr(StoreConnection.of(storage.path), "wait_seconds", 0.0)
    lock = StoreLock(storage.path)
    lock.acquire(True, time.monotonic() + 10)
    covered = TimeRange(int(FRAME.index[0].timestamp()), int(FRAME.index[-1].timestamp()) + 60)
    with pytest.raises(StoreBusyError, match="kept in"):
        storage.store_ohlcv_data("AAPL", FRAME, "test", "minute", covered=covered)
    with pytest.raises(StoreBusyError):
        storage.label("OTHER", "tag", "x")
    lock.close()
    storage.label("AAPL", "tag", "x")
    assert storage.labelled("tag") == [AssetKey("AAPL")]


def test_a_store_that_can_only_be_read(stored: DuckDBDataStorage, tmp_path: Path) -> None:
    stored.label("AAPL", "tag", "x")
    stored.replica(tmp_path / "replica.duckdb")
    with DuckDBDataStorage(tmp_path / "replica.duckdb") as replica:
        assert replica.labelled("tag") == [AssetKey("AAPL")]
        with pytest.raises(ReplicaError):
            replica.label("MSFT", "tag", "x")


@pytest.mark.older_duckdb
def test_other_names_in_the_table_are_damage(stored: DuckDBDataStorage) -> None:
    stored.label("AAPL", "tag", "x")
    with StoreConnection.of(stored.path).write() as cursor:
        cursor.execute("UPDATE {db}.asset_label SET asset_symbol = ' '")
    with pytest.raises(StoreDamagedError, match="the labels of assets"):
        stored.labels()


def _label(path: Path, number: int) -> None:
    with DuckDBDataStorage(path) as storage:
        for step in range(4):
            storage.label("AAPL", "tag", f"{number}-{step}", add=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_several_processes(stored: DuckDBDataStorage) -> None:
    stored.close()
    workers = [multiprocessing.get_context("fork").Process(target=_label, args=(stored.path, each)) for each in (1, 2)]
    for worker in workers:
        worker.start()
    _label(stored.path, 0)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert {value for *_, value in found(stored)} == {f"{each}-{step}" for each in range(3) for step in range(4)}
