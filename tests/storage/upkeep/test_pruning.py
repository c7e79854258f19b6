"""`prune`: old bars and their coverage go, whole series of a store that is too large go, and nothing else does."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars import batches
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    SeriesNotFoundError,
    StoreNotFoundError,
    StoreWriteError,
    VersionGoneError,
)
from lumibot_duckdb.storage.upkeep import pruning
from storage.frames import assert_same, minute_bars

AGE = dt.timedelta(365)
NOW = dt.datetime(2024, 1, 10, 15, tzinfo=dt.timezone.utc)
OLD = minute_bars("2023-01-05 09:30", rows=390)
NEW = minute_bars("2023-12-05 09:30", rows=390, seed=1)
BOTH = pd.concat([OLD, NEW])


@pytest.fixture(autouse=True)
def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: NOW)


def covering(frame: pd.DataFrame) -> TimeRange:
    return TimeRange(int(frame.index[0].timestamp()), int(frame.index[-1].timestamp()) + 60)


def store(storage: DuckDBDataStorage, symbol: str = "A", frame: pd.DataFrame = BOTH, source: str = "test") -> None:
    storage.store_ohlcv_data(symbol, frame, source, "minute", covered=covering(frame))


def test_old_bars_and_their_coverage_go(storage: DuckDBDataStorage) -> None:
    store(storage)
    store(storage, "NEW", NEW)
    before = storage.pin("NEW")
    report = storage.prune(AGE)
    assert [(each.key.asset.symbol, each.bars, each.bars_left) for each in report.pruned] == [("A", 390, 390)]
    for one in (storage, DuckDBDataStorage(storage.path)):
        assert_same(one.get_historical_prices("A"), NEW)
        assert one.facts(one.pin("A")).rows == 390
        assert one.missing_ranges("A", covering(OLD)) == [covering(OLD)]
        assert one.missing_ranges("A", covering(NEW)) == []
        assert one.list_series("A")[0].first == covering(NEW).start
    assert storage.pin("NEW") == before
    assert storage.verify().findings == []
    assert storage.prune(AGE).pruned == ()


def test_whole_days_are_kept(storage: DuckDBDataStorage) -> None:
    start = dt.datetime(2023, 1, 10, 5, tzinfo=dt.timezone.utc)  # midnight in New York, 365 days ago
    frame = minute_bars("2023-01-09 23:50", rows=20)
    store(storage, frame=frame)
    storage.prune(AGE)
    assert_same(storage.get_historical_prices("A"), frame[frame.index >= start])


def test_a_dry_run_reports_what_the_pruning_removes(storage: DuckDBDataStorage) -> None:
    store(storage)
    store(storage, "B", OLD)
    planned = storage.prune(AGE, dry_run=True)
    assert len(storage.get_historical_prices("A")) == 780
    assert storage.prune(AGE).pruned == planned.pruned


def test_a_pin_of_a_pruned_series_fails(storage: DuckDBDataStorage) -> None:
    store(storage)
    pin = storage.pin("A")
    storage.prune(AGE)
    for one in (storage, DuckDBDataStorage(storage.path)):
        for within in (None, covering(NEW), covering(OLD)):
            with pytest.raises(VersionGoneError):
                one.read_pandas(pin, within)
    with pytest.raises(HistoryRestatedError):
        storage.store_ohlcv_data("A", NEW, "test", "minute", onto=pin.version_id)


def test_what_remains_is_extended_and_corrected(storage: DuckDBDataStorage) -> None:
    store(storage)
    storage.prune(AGE)
    store(storage, frame=OLD)
    assert_same(storage.get_historical_prices("A"), BOTH)
    store(storage, frame=NEW * 2)
    assert_same(storage.get_historical_prices("A"), pd.concat([OLD, NEW * 2]))
    assert storage.verify().findings == []


def test_a_series_without_bars_and_coverage_is_deleted(storage: DuckDBDataStorage) -> None:
    store(storage, "GONE", OLD)
    store(storage, "COVERED", OLD)
    storage.record_coverage("COVERED", covering(NEW), "test", "minute")
    storage.prune(AGE)
    with pytest.raises(SeriesNotFoundError):
        storage.pin("GONE")
    assert len(storage.get_historical_prices("COVERED")) == 0
    assert storage.missing_ranges("COVERED", covering(NEW)) == []
    store(storage, "COVERED", OLD)
    assert_same(storage.get_historical_prices("COVERED"), OLD)
    assert storage.verify().findings == []


@pytest.mark.older_duckdb
def test_columns_that_only_old_bars_have(storage: DuckDBDataStorage) -> None:
    frame = BOTH.assign(note=["x"] * 390 + [None] * 390, bid=[None] * 390 + [1.5] * 390)
    store(storage, frame=frame)
    storage.prune(AGE)
    assert_same(storage.get_historical_prices("A"), frame.iloc[390:])
    columns = {column.name: column.has_nulls for column in storage.facts(storage.pin("A")).columns}
    assert (columns["note"], columns["bid"], columns["close"]) == (True, False, False)


@pytest.mark.parametrize("asset", ["LONG", ("BTC", "USD")])
def test_outlines_and_repeated_bars_follow(storage: DuckDBDataStorage, asset: str | tuple[str, str]) -> None:
    frame = minute_bars("2023-01-03", rows=30_000).assign(volume=1)
    frame.iloc[15_000:, :4] = 5.0
    storage.store_ohlcv_data(asset, frame, "test", "minute")
    storage.prune(AGE)
    rest = frame[frame.index >= "2023-01-10"]
    assert 10_000 < len(rest) < 30_000
    assert storage.outline(storage.pin(asset)).rows == len(rest)
    assert_same(storage.get_historical_prices(asset), rest)
    assert storage.verify().findings == []


def test_a_spooled_download_is_merged_before(storage: DuckDBDataStorage) -> None:
    from faults.operations import spool

    store(storage)
    spool(storage, "SPOOLED", BOTH)
    storage.prune(AGE)
    assert len(storage.get_historical_prices("SPOOLED")) == 390
    assert len(storage.get_historical_prices("A")) == 390


def test_only_the_chosen_series(storage: DuckDBDataStorage) -> None:
    for source in ("one", "two"):
        for symbol in ("BRK.A", "BRK.B", "SPY"):
            store(storage, symbol, source=source)
    storage.prune(AGE, ["brk*"], "ONE", "1min")
    rows = {(info.key.asset.symbol, info.key.source): info.rows for info in storage.list_series()}
    assert {key for key, bars in rows.items() if bars == 390} == {("BRK.A", "one"), ("BRK.B", "one")}


def test_the_first_rule_that_matches_applies(storage: DuckDBDataStorage) -> None:
    for symbol in ("SPY", "QQQ", "IBM"):
        store(storage, symbol)
    storage.settings.set("prune.rules", "forever symbol=SPY; 365d symbol=?Q*; 10d source=other")
    storage.prune()
    rows = {info.key.asset.symbol: info.rows for info in storage.list_series()}
    assert rows == {"SPY": 780, "QQQ": 390, "IBM": 780}


def test_what_a_snapshot_needs_stays(storage: DuckDBDataStorage) -> None:
    store(storage)
    store(storage, "B")
    storage.snapshot("one")
    store(storage, "B", NEW * 2)
    store(storage, "C")
    pinned = storage.pin("A")
    report = storage.prune(AGE)
    assert [(each.key.asset.symbol, each.snapshot) for each in report.kept] == [("A", "one")]
    assert storage.pin("A") == pinned
    assert_same(storage.get_historical_prices("B", as_of="one"), BOTH)
    assert_same(storage.get_historical_prices("B"), NEW * 2)
    assert_same(storage.get_historical_prices("C"), NEW)
    assert storage.verify().findings == []
    storage.delete_snapshot("one")
    assert [each.key.asset.symbol for each in storage.prune(AGE).pruned] == ["A"]


@pytest.mark.older_duckdb
def test_a_snapshot_that_is_made_meanwhile_is_respected(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_SERIES", 1)
    for symbol in ("A", "B"):
        store(storage, symbol)

    def on_step(text: str, done: int, total: int) -> None:
        if text.startswith("Pruning B"):
            storage.snapshot("meanwhile")

    assert [each.key.asset.symbol for each in storage.prune(AGE, on_step=on_step).pruned] == ["A"]
    assert_same(storage.get_historical_prices("B"), BOTH)
    storage.delete_snapshot("meanwhile")
    assert storage.verify().findings == []


def test_superseded_versions_go_by_age(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    store(storage, frame=NEW)
    store(storage, frame=NEW * 2)
    storage.settings.set("versions.keep", "10d")
    monkeypatch.setattr(clock, "utc_now", lambda: NOW + dt.timedelta(9))
    assert storage.prune(AGE).versions_removed == 0
    monkeypatch.setattr(clock, "utc_now", lambda: NOW + dt.timedelta(11))
    assert storage.prune(AGE).versions_removed == 1


def test_pruning_returns_the_space(storage: DuckDBDataStorage) -> None:
    store(storage, frame=minute_bars("2023-01-03", rows=100_000))
    storage.close()
    before = storage.path.stat().st_size
    report = storage.prune(dt.timedelta(300))
    assert (report.bytes_before, report.bytes_after) == (before, storage.path.stat().st_size)
    assert report.bytes_after < 0.9 * before


def test_a_compaction_that_fails_is_reported(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreWriteError("the disk is full")

    store(storage)
    monkeypatch.setattr(pruning, "compact", fail)
    outcome = r"Pruned 390 bars of 1 series, but their space is not returned to the disk yet: compact the store$"
    with pytest.raises(StoreWriteError, match=rf"^the disk is full\. {outcome}"):
        storage.prune(AGE)
    assert_same(storage.get_historical_prices("A"), NEW)
    assert storage.verify().findings == []


# -- the size of the store -----------------------------------------------------------------------------------


def sized(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> int:
    """Store three series of 30,000 bars, on three days; return the size of the store."""
    for day, symbol in enumerate(("OLDEST", "MIDDLE", "NEWEST")):
        monkeypatch.setattr(clock, "utc_now", lambda day=day: NOW + dt.timedelta(day))
        store(storage, symbol, minute_bars("2023-10-03", rows=30_000, seed=day))
    monkeypatch.setattr(clock, "utc_now", lambda: NOW + dt.timedelta(5))
    storage.compact()
    return storage.path.stat().st_size


def test_the_least_recently_used_series_are_deleted(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sized(storage, monkeypatch)
    storage.get_historical_prices("OLDEST")
    assert storage.prune(max_size=size).pruned == ()
    limit = size - 150_000
    planned = storage.prune(max_size=limit, dry_run=True)
    report = storage.prune(max_size=limit)
    assert [each.key.asset.symbol for each in report.pruned] == ["MIDDLE"]
    assert [each.key for each in planned.pruned] == [each.key for each in report.pruned]
    assert report.fits
    assert report.bytes_after == storage.path.stat().st_size <= limit
    assert storage.verify().findings == []


def test_nothing_is_deleted_in_vain(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    sized(storage, monkeypatch)
    storage.settings.set("prune.rules", "forever symbol=*EST")
    storage.settings.set("prune.max-size", "400KB")
    report = storage.prune()
    assert (report.pruned, report.fits) == ((), False)
    assert len(storage.list_series()) == 3
    assert not storage.prune(dry_run=True).fits


@pytest.mark.older_duckdb
def test_small_series_that_go_first_do_not_end_it(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they free says little about the others, which take many times as much for a bar."""
    flat = minute_bars("2023-10-03", rows=10_000) * 0 + 1
    for day, symbol in enumerate("ABCD"):
        monkeypatch.setattr(clock, "utc_now", lambda day=day: NOW + dt.timedelta(day))
        store(storage, symbol, flat)
    monkeypatch.setattr(clock, "utc_now", lambda: NOW + dt.timedelta(5))
    for seed in range(3):
        store(storage, f"LARGE{seed}", minute_bars("2023-10-03", rows=10_000, seed=seed) * 1.000_123)
    storage.compact()
    empty = 400_000
    limit = (empty + storage.path.stat().st_size) // 2
    report = storage.prune(max_size=limit)
    assert [each.key.asset.symbol for each in report.pruned][:4] == ["A", "B", "C", "D"]
    assert 0 < len(storage.list_series()) < 3
    assert report.fits
    assert report.bytes_after == storage.path.stat().st_size


def test_series_of_a_snapshot_are_not_deleted(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sized(storage, monkeypatch)
    storage.snapshot("one")
    store(storage, "LATEST", minute_bars("2023-10-03", rows=30_000, seed=7))
    report = storage.prune(max_size=size + 100_000)
    assert [each.key.asset.symbol for each in report.pruned] == ["LATEST"]


# -- mistakes ------------------------------------------------------------------------------------------------


def test_wrong_arguments(storage: DuckDBDataStorage, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        storage.prune(AGE)
    store(storage)
    with pytest.raises(ValueError, match="needs an age or a size"):
        storage.prune(symbols=["A"])
    with pytest.raises(ValueError, match="negative"):
        storage.prune(-AGE)
    with pytest.raises(ValueError, match="negative"):
        storage.prune(max_size=-1)
    assert storage.prune().pruned == ()  # there are no rules
