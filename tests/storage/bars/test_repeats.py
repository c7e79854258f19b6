"""The store's record of repeated crypto bars is that of the bars, whatever is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey, SeriesPin, TimeRange
from lumibot_duckdb.storage.bars import outline_records, repeats
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from storage.frames import index_of

COIN = AssetKey("BTC", "crypto", "USDT", exchange="binance")
BEGIN = 1_699_000_020
FEW, REACH = 4, 12
NAMES = ("open", "high", "low", "close", "volume")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline_records, "SHORT_SERIES", FEW)
    monkeypatch.setattr(repeats, "REACH", REACH)
    monkeypatch.setattr(repeats, "_AT_A_TIME", 7)


def candles(rows: dict[int, tuple[float, float]]) -> pd.DataFrame:
    slots = sorted(rows)
    columns = {name: np.array([rows[slot][name == "volume"] for slot in slots]) for name in NAMES}
    return pd.DataFrame(columns, index=index_of([BEGIN + 60 * slot for slot in slots]))


def expected(storage: DuckDBDataStorage, pin: SeriesPin) -> list[tuple[int, int]]:
    bars = storage.read_bars(pin)
    found = []
    latest: dict[tuple[Any, ...], int] = {}
    for row, time in enumerate(bars.times.tolist()):
        numbers = [float(bars.columns[name][row]) for name in NAMES]
        key = tuple("missing" if np.isnan(number) else number + 0.0 for number in numbers)
        if any(np.isnan(numbers[:4])):
            found.append((time, time))
        elif time - latest.get(key, -(2**62)) <= 60 * REACH:
            found.append((time, latest[key]))
        latest[key] = time
    return found


def recorded(storage: DuckDBDataStorage, pin: SeriesPin) -> list[tuple[int, int]] | None:
    found = storage.repeats(pin)
    return None if found is None else list(zip(found.times.tolist(), found.earlier.tolist(), strict=True))


numbers = st.tuples(st.sampled_from([1.0, 2.0, 0.0, -0.0, np.nan]), st.sampled_from([0.0, -0.0, 5.0, np.nan]))
rows = st.dictionaries(st.integers(0, 60), numbers, min_size=1, max_size=12)


@pytest.mark.older_duckdb
@examples(12)
@given(writes=st.lists(st.tuples(st.sampled_from(["add", "write", "replace"]), rows), min_size=1, max_size=6))
def test_repeats_are_those_of_the_bars_after_any_writes(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, dict[int, tuple[float, float]]]]
) -> None:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("store"))
    pins: list[SeriesPin] = []
    for kind, news in writes:
        if kind == "add" and pins:
            known = {(time - BEGIN) // 60 for time in storage.read_bars(pins[-1], columns=()).times.tolist()}
            news = {slot: numbers for slot, numbers in news.items() if slot not in known}
        within = TimeRange(BEGIN, BEGIN + 60 * 30)
        inside = candles({slot: numbers for slot, numbers in news.items() if slot < 30})
        if kind == "replace":
            storage.store_ohlcv_data(COIN, inside, "ccxt", "minute", covered=within, replace=True)
        else:
            storage.store_ohlcv_data(COIN, candles(news), "ccxt", "minute")
        pins.append(storage.pin(COIN, "minute"))
    current = pins[-1]
    for pin in pins:
        found = recorded(storage, pin)
        if pin == current and storage.facts(pin).rows > FEW:
            assert found is not None
        assert found is None or found == expected(storage, pin)
    assert storage.verify().sound
    storage.compact()
    assert recorded(storage, current) in (None, expected(storage, current))
    assert storage.verify().sound
    storage.close()


@pytest.mark.parametrize("few", [10_000, 5])
def test_repeats_of_several_coins_are_those_of_each(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(repeats, "_FEW_REPEATS", few)
    coins = [AssetKey(name, "crypto", "USDT", exchange="binance") for name in ("ADA", "BTC", "ETH")]
    pins = []
    for number, coin in enumerate(coins, 2):
        frame = candles({slot: (float(slot % number), 0.0) for slot in range(9)})
        storage.store_ohlcv_data(coin, frame, "ccxt", "minute")
        pins.append(storage.pin(coin, "minute"))
    for pin in pins:
        assert recorded(storage, pin) == expected(storage, pin) != []
    other = candles(dict.fromkeys(range(9), (1.0, 0.0)))
    storage.store_ohlcv_data(coins[1], other, "ccxt", "minute", covered=TimeRange(BEGIN, BEGIN + 540), replace=True)
    restated = storage.pin(coins[1], "minute")
    assert restated.version_id != pins[1].version_id
    assert recorded(storage, restated) == expected(storage, restated)
    assert recorded(storage, pins[1]) == expected(storage, pins[1])
    assert recorded(storage, pins[0]) == expected(storage, pins[0])


def test_only_crypto_has_repeats(storage: DuckDBDataStorage) -> None:
    frame = candles(dict.fromkeys(range(9), (1.0, 0.0)))
    storage.store_ohlcv_data("X", frame, "test", "minute")
    assert storage.repeats(storage.pin("X")) is None
    assert storage.sql("FROM repeated_bar").num_rows == 0


def test_a_download_drops_what_repeats_a_bar_of_its_own(storage: DuckDBDataStorage) -> None:
    frame = candles({slot: (float(slot % 3), 1.0) for slot in range(9)})
    storage.store_ohlcv_data(COIN, frame, "ccxt", "minute")
    found = storage.repeats(storage.pin(COIN))
    assert found is not None
    assert (found.dropped_in(TimeRange(BEGIN, BEGIN + 540)) - BEGIN).tolist() == [180, 240, 300, 360, 420, 480]
    assert (found.dropped_in(TimeRange(BEGIN + 120, BEGIN + 400)) - BEGIN).tolist() == [300, 360]


@pytest.mark.older_duckdb
def test_verify_finds_wrong_repeats(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data(COIN, candles(dict.fromkeys(range(9), (1.0, 0.0))), "ccxt", "minute")
    version = storage.pin(COIN).version_id
    for change in (
        "UPDATE {db}.repeated_bar SET earlier = ts WHERE ts = (SELECT max(ts) FROM {db}.repeated_bar)",
        "DELETE FROM {db}.repeated_bar",
    ):
        with StoreConnection.of(storage.path).write() as cursor:
            cursor.execute(change)
        found = [each.what for each in storage.verify().findings if each.check == "outlines" and each.damage]
        assert found == [f"the repeated bars of version {version} are not those of its bars"]


def test_an_older_store_gets_its_repeats(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data(COIN, candles({slot: (float(slot % 2), 0.0) for slot in range(30)}), "ccxt", "minute")
    with StoreConnection.of(storage.path).write() as cursor:
        for table in ("outline", "repeated_bar", "snapshot", "setting", "bar_checksum"):
            cursor.execute(f"DROP TABLE {{db}}.{table}")
        cursor.execute("UPDATE {db}.store_meta SET value = '4' WHERE key = 'schema_version'")
    storage.close()
    newer = DuckDBDataStorage(storage.path)
    pin = newer.pin(COIN)
    assert recorded(newer, pin) == expected(newer, pin) != []
    assert newer.verify().sound
