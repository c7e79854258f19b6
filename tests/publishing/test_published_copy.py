"""What a snapshot has: the store or a selection, as it is or as of a moment. It equals what the store itself reads."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey
from lumibot_duckdb.storage.errors import SeriesNotFoundError, SnapshotNotFoundError, VersionGoneError
from publishing.conftest import bars

SYMBOLS = ("AAPL", "MSFT", "BTC/USD")
WRITES = st.lists(
    st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 12_000), st.integers(1, 12_000), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


def now() -> datetime:
    return datetime.now(timezone.utc)


def assert_equals_the_store(
    opened: DuckDBDataStorage, storage: DuckDBDataStorage, keys: list[SeriesKey], as_of: datetime | None
) -> None:
    """Compare bars, facts, outlines and repeats of some series with those that the store has as of a moment."""
    assert opened.verify().findings == []
    found = []
    for key in keys:
        try:
            pin = storage.pin(key, as_of=as_of)
        except SeriesNotFoundError:
            continue
        found.append(key)
        published = opened.pin(key, as_of=opened.published_as_of)
        assert (published.version_id, published.ingest_id) == (pin.version_id, pin.ingest_id)
        pd.testing.assert_frame_equal(opened.read_pandas(published), storage.read_pandas(pin))
        assert opened.facts(published) == storage.facts(pin)
        ours, theirs = opened.outline(published), storage.outline(pin)
        assert ours.rows == theirs.rows
        assert np.array_equal(ours.days.bars, theirs.days.bars)
        if as_of is None:  # else only the snapshot knows that nothing was added since
            assert str(opened.repeats(published)) == str(storage.repeats(pin))
    assert [info.key for info in opened.list_series()] == sorted(found, key=lambda key: key.asset.symbol)


@examples(20, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # finding a shorter example takes minutes
@given(WRITES, st.data())
def test_any_selection_as_of_any_moment(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    storage = DuckDBDataStorage(folder / "store.duckdb")
    frame = bars(25_000).round(1)
    moments: list[datetime | None] = [None]
    for symbol, first, rows, shift in writes:
        piece = frame[first : first + rows] + shift // 3  # one in four restates bars, if there are any
        storage.store_ohlcv_data(symbol, piece, "mine", "minute")
        moments.append(now())
    as_of = data.draw(st.sampled_from(moments))
    keys = [info.key for info in storage.list_series()]
    chosen = data.draw(st.lists(st.sampled_from(keys), unique=True, min_size=1))
    try:
        storage.publish(folder / "shared", chosen, as_of=as_of)
    except SeriesNotFoundError:
        for key in chosen:
            with pytest.raises(SeriesNotFoundError):
                storage.pin(key, as_of=as_of)
        return
    opened = DuckDBDataStorage(folder / "shared")
    assert_equals_the_store(opened, storage, chosen, as_of)
    assert as_of is None or opened.published_as_of == as_of


def test_a_named_snapshot_of_the_store(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
    made = storage.snapshot("before")
    storage.store_ohlcv_data("AAPL", bars(100) + 1, "mine", "minute")
    storage.store_ohlcv_data("MSFT", bars(100), "mine", "minute")
    report = storage.publish(tmp_path / "shared", as_of="before")
    opened = DuckDBDataStorage(tmp_path / "shared")
    assert (report.series, report.rows, report.as_of) == (1, 100, made.created_at)
    pd.testing.assert_frame_equal(opened.to_pandas("AAPL"), storage.to_pandas("AAPL", as_of="before"))
    assert opened.snapshots() == []
    with pytest.raises(SnapshotNotFoundError, match="has no snapshot 'befor'; did you mean 'before'"):
        storage.publish(tmp_path / "other", as_of="befor")
    assert not (tmp_path / "other").exists()


def test_a_version_that_is_gone(tmp_path: Path) -> None:
    from datetime import timedelta

    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
    moment = now()
    storage.store_ohlcv_data("AAPL", bars(100) + 1, "mine", "minute")
    storage.compact(timedelta(0))
    with pytest.raises(VersionGoneError, match="1 of the series had versions then that are no longer in the store"):
        storage.publish(tmp_path / "shared", as_of=moment)


def test_a_selection_has_nothing_of_other_assets(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    for symbol in ("AAPL", "MSFT"):
        storage.store_ohlcv_data(symbol, bars(100), "mine", "minute", metadata={"of": symbol})
        storage.record_corporate_actions(
            AssetKey(symbol), [CorporateAction(pd.Timestamp("2020-08-31").date(), split_from=1, split_to=4)], "mine"
        )
        storage.label([symbol], "sector", f"of {symbol}")
    storage.settings.set("versions.keep", "7d")
    storage.migrated_files.remember(str(tmp_path / "old-cache.feather"), "1", 100, [])
    storage.publish(tmp_path / "shared", [info.key for info in storage.list_series("AAPL")])
    opened = DuckDBDataStorage(tmp_path / "shared")
    actions = opened.corporate_actions(AssetKey("AAPL"), "mine")
    assert actions is not None
    assert len(actions.actions) == 1
    assert opened.corporate_actions(AssetKey("MSFT"), "mine") is None
    assert [asset.symbol for asset in opened.labelled("sector")] == ["AAPL"]
    content = opened.path.read_bytes()
    assert b"of AAPL" in content
    assert b"of MSFT" not in content
    assert b"old-cache.feather" not in content


def test_renamed_series_keep_the_writes_of_their_bars(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    storage.store_ohlcv_data("FB", bars(100), "mine", "minute", metadata={"file": "fb.csv"})
    storage.rename("FB", "META")
    storage.store_ohlcv_data("AAPL", bars(100), "mine", "minute")
    storage.publish(tmp_path / "shared", [info.key for info in storage.list_series("META")])
    opened = DuckDBDataStorage(tmp_path / "shared")
    query = "SELECT asset_symbol, metadata, created_at FROM ohlcv_data WHERE asset_symbol = 'META' ORDER BY ALL"
    assert opened.sql(query).equals(storage.sql(query))
    assert opened.verify().findings == []


def test_writes_during_the_copy_are_in_it_whole_or_not_at_all(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    later = bars(200, "2024-03-01 09:30")
    written: list[int] = []

    def write(done: int, total: int) -> None:
        if not written:
            written.append(storage.store_ohlcv_data("AAPL", later, "mine", "minute").added)
            storage.store_ohlcv_data("BTC/USD", bars(11_000) + 1, "mine", "minute")

    storage.publish(tmp_path / "shared", on_rows=write)
    assert written == [200]
    opened = DuckDBDataStorage(tmp_path / "shared")
    assert_equals_the_store(opened, storage, [info.key for info in storage.list_series()], None)
