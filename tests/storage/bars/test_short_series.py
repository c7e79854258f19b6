"""Short series that are read ahead have the same bars as each read alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage import catalog
from lumibot_duckdb.storage.api import SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import outline_records, short_series
from lumibot_duckdb.storage.errors import VersionGoneError
from storage.frames import minute_bars

ALWAYS = TimeRange(0, 2**40)


def bars(seed: int, rows: int) -> pd.DataFrame:
    """Return the first bars of a series."""
    return minute_bars(rows=30, seed=seed).iloc[:rows].copy()


def fill(storage: DuckDBDataStorage, count: int) -> tuple[DuckDBDataStorage, list[SeriesPin]]:
    """Store series of ten bars; return a storage that has read none of them, and their pins."""
    for number in range(count):
        storage.store_ohlcv_data(f"S{number}", bars(number, 10), "test", "minute")
    fresh = DuckDBDataStorage(storage.path)
    return fresh, [fresh.pin(f"S{number}") for number in range(count)]


def bars_of(storage: DuckDBDataStorage, pin: SeriesPin) -> pd.DataFrame:
    """Return the bars as the first touch of a series reads them, after its outline and its ingests."""
    outline, ingests = storage.outline(pin), storage.ingests(pin, [ALWAYS])
    bars = storage.read_bars(pin, remember=False)
    assert outline.rows == len(bars.times) == storage.facts(pin).rows
    assert max(ingest.ingest_id for ingest in ingests) <= pin.ingest_id
    return pd.DataFrame(dict(bars.columns), index=bars.times)


def reads(storage: DuckDBDataStorage) -> int:
    return storage.counters.usage().reads


def test_a_walk_through_series_is_two_reads(storage: DuckDBDataStorage) -> None:
    fresh, pins = fill(storage, 8)
    before = reads(fresh)
    for pin in (pins[2], pins[3], *pins[4:], *pins[:2]):
        bars_of(fresh, pin)
    assert reads(fresh) == before + 2


def test_no_more_are_read_ahead_while_most_of_the_last_ones_are_not_needed(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_series, "_ROWS", 60)
    fresh, pins = fill(storage, 20)
    counted = fresh.counters
    for number in (0, 7, 17):  # 7 to 12 at once, 17 alone
        bars_of(fresh, pins[number])
    assert counted.usage().rows_read == 10 + 60 + 10
    for number in (8, 9, 18):  # 18, 19 and the next four that were not needed at once
        bars_of(fresh, pins[number])
    assert counted.usage().rows_read == 80 + 60


def test_bars_that_came_after_the_catalog_was_read_are_not_seen(storage: DuckDBDataStorage) -> None:
    fresh, pins = fill(storage, 3)
    for number in range(3):
        storage.store_ohlcv_data(f"S{number}", bars(number, 15), "test", "minute")
        assert storage.pin(f"S{number}").version_id == pins[number].version_id
    for number, pin in enumerate(pins):
        assert bars_of(fresh, pin)["close"].tolist() == bars(number, 10)["close"].tolist()


def test_a_version_that_is_gone_is_not_empty(storage: DuckDBDataStorage) -> None:
    fresh, pins = fill(storage, 3)
    bars_of(fresh, pins[0])
    storage.delete_series("S1", "test", "minute")
    with pytest.raises(VersionGoneError):
        fresh.outline(pins[1])
    bars_of(fresh, pins[2])


@st.composite
def _writes(draw: st.DrawFn) -> list[tuple[int, pd.DataFrame]]:
    """Return numbers of series, and a frame for each, whose bars are new, known or other than those that are known."""
    frames = []
    for _ in range(draw(st.integers(1, 8))):
        frame = bars(draw(st.integers(0, 2)), draw(st.integers(1, 25)))
        if draw(st.booleans()):
            frame["vwap"] = np.round(frame["close"] * 1.001, 3)
        frames.append((draw(st.integers(0, 4)), frame))
    return frames


@examples(20)
@given(_writes(), _writes(), st.data(), st.integers(1, 60))
def test_any_touches_see_what_each_series_read_alone_has(
    tmp_path_factory: pytest.TempPathFactory,
    earlier: list[tuple[int, pd.DataFrame]],
    later: list[tuple[int, pd.DataFrame]],
    data: st.DataObject,
    rows_ahead: int,
) -> None:
    """Pins of two moments are touched in any order, by a storage that has read the catalog at either of them."""
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("short"))
    pins: list[SeriesPin] = []
    readers: list[DuckDBDataStorage] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outline_records, "SHORT_SERIES", 20)
        patch.setattr(short_series, "_ROWS", rows_ahead)
        for writes in (earlier, later):
            for number, frame in writes:
                storage.store_ohlcv_data(f"S{number}", frame, "test", "minute")
            readers.append(DuckDBDataStorage(storage.path))
            pins += [readers[-1].pin(info.key) for info in readers[-1].list_series()]
        touched = data.draw(st.lists(st.sampled_from(pins), min_size=1, max_size=12))
        reader, alone = data.draw(st.sampled_from(readers)), DuckDBDataStorage(storage.path)
        for pin in touched:
            found = bars_of(reader, pin)
            with pytest.MonkeyPatch.context() as pages:
                pages.setattr(catalog, "_PAGE", 1)
                pd.testing.assert_frame_equal(found, bars_of(alone, pin))
    storage.close()
