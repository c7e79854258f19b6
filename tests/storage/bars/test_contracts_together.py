"""A strategy that walks through a chain: one query for all contracts of an expiration, and never an outdated answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from storage.frames import minute_bars

FRIDAY, NEXT_FRIDAY = dt.date(2024, 1, 19), dt.date(2024, 1, 26)
DAY = TimeRange(1_704_171_600, 1_704_258_000)
FRAME = minute_bars()
NOW = dt.datetime(2024, 2, 1, 12, 0, tzinfo=dt.timezone.utc)


def key(strike: float, day: dt.date = FRIDAY, symbol: str = "SPY", timeframe: str = "minute") -> SeriesKey:
    return SeriesKey(
        AssetKey(symbol, "option", expiration=day, strike=strike, right="CALL"), "polygon", timeframe, "split"
    )


def store(storage: DuckDBDataStorage, contract: SeriesKey, rows: int = 60, covered: TimeRange = DAY) -> None:
    frame = minute_bars(rows=rows)
    arguments = {"adjustment": contract.adjustment, "covered": covered}
    storage.store_ohlcv_data(contract.asset, frame, contract.source, contract.timeframe, **arguments)


@pytest.fixture
def chain(storage: DuckDBDataStorage) -> list[SeriesKey]:
    """Store five contracts of an expiration, which are returned, and others that have something in common with them."""
    contracts = [key(float(strike)) for strike in range(5)]
    for rows, contract in enumerate(contracts, start=10):
        store(storage, contract, rows)
    for other in (key(0.0, NEXT_FRIDAY), key(0.0, symbol="QQQ"), key(0.0, timeframe="hour")):
        store(storage, other)
    return contracts


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Return how many queries named a table since this was called last."""
    asked: list[str] = []
    rows = StoreCursor.rows

    def counted(cursor: StoreCursor, query: str, *arguments: object) -> object:
        asked.append(query)
        return rows(cursor, query, *arguments)

    def count(table: str) -> int:
        found = sum(f"{{db}}.{table}" in query for query in asked)
        asked.clear()
        return found

    monkeypatch.setattr(StoreCursor, "rows", counted)
    return count


def test_one_query_each_for_coverage_and_facts_of_an_expiration(
    storage: DuckDBDataStorage, chain: list[SeriesKey], queries: Callable[[str], int]
) -> None:
    fresh = DuckDBDataStorage(storage.path)
    fresh.list_series()
    queries("")
    for contract in chain:
        assert fresh.coverage(contract) == [DAY]
    assert queries("coverage") == 1
    for rows, contract in enumerate(chain, start=10):
        assert fresh.facts(fresh.pin(contract)).rows == rows
    assert queries("ingest WHERE ingest_id IN") == 1
    assert fresh.facts(fresh.pin(key(0.0, NEXT_FRIDAY))).rows == 60
    assert queries("ingest WHERE ingest_id IN") == 1


def test_contracts_are_alike_by_underlying_expiration_source_timeframe_and_adjustment(
    storage: DuckDBDataStorage, chain: list[SeriesKey]
) -> None:
    catalog = storage._store.catalog
    for contract in chain:
        record = catalog.find(contract)
        assert record is not None
        assert [other.key for other in catalog.contracts_like(record)] == chain
    storage.delete_series(chain[1].asset, "polygon", "minute", adjustment="split")
    storage.store_ohlcv_data("SPY", FRAME, "polygon", "minute")
    record = catalog.find(chain[0])
    assert record is not None
    assert [other.key for other in catalog.contracts_like(record)] == [chain[0], *chain[2:]]
    stock = catalog.find(storage.pin("SPY", "minute", "polygon", adjustment="").key)
    assert stock is not None
    assert catalog.contracts_like(stock) == [stock]


def test_what_another_storage_writes_is_seen(storage: DuckDBDataStorage, chain: list[SeriesKey]) -> None:
    other = DuckDBDataStorage(storage.path)
    more = TimeRange(DAY.end, DAY.end + 86_400)
    assert storage.coverage(chain[0]) == [DAY]
    store(other, chain[0], covered=more)
    assert storage.coverage(chain[0]) == [TimeRange(DAY.start, more.end)]
    assert storage.facts(storage.pin(chain[0])).rows == 60
    added = key(99.0)
    store(other, added, 7)
    assert storage.coverage(added) == [DAY]
    assert storage.facts(storage.pin(added)).rows == 7
    other.forget_coverage(chain[0])
    assert storage.coverage(chain[0]) == []
    assert storage.coverage(chain[1]) == [DAY]


def test_a_range_expires_while_its_answer_is_kept(
    storage: DuckDBDataStorage, chain: list[SeriesKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: NOW)
    open_end = TimeRange(DAY.end, DAY.end + 86_400)
    contract = chain[0]
    storage.store_ohlcv_data(
        contract.asset, FRAME, "polygon", "minute", adjustment="split", covered=open_end, provisional=[open_end]
    )
    both = [TimeRange(DAY.start, open_end.end)]
    assert storage.coverage(contract) == both
    assert storage.coverage(contract, permanent_only=True) == [DAY]
    monkeypatch.setattr(clock, "utc_now", lambda: NOW + dt.timedelta(days=100))
    assert storage.coverage(contract) == [DAY]
    assert storage.coverage(contract, include_expired=True) == both


def test_splits_are_read_again_only_after_a_write(
    storage: DuckDBDataStorage, chain: list[SeriesKey], queries: Callable[[str], int]
) -> None:
    storage.record_corporate_actions("SPY", [], "polygon")
    queries("")
    for _ in range(3):
        known = storage.corporate_actions("SPY", "polygon")
        assert known is not None
        assert known.actions == ()
    assert queries("corporate_action_check") == 1
    split = CorporateAction(dt.date(2024, 1, 10), split_from=1, split_to=2)
    DuckDBDataStorage(storage.path).record_corporate_actions("SPY", [split], "polygon")
    known = storage.corporate_actions("SPY", "polygon")
    assert known is not None
    assert known.actions == (split,)


def test_the_outline_of_a_short_series_and_its_first_bars_are_one_read(
    storage: DuckDBDataStorage, chain: list[SeriesKey]
) -> None:
    first, second = (storage.pin(contract) for contract in chain[3:])
    expected = storage.read_pandas(first)
    starts = expected.index.as_unit("s").asi8.tolist()
    before = storage.counters.usage().reads
    assert storage.outline(first).rows == len(starts)
    half = TimeRange(starts[5], starts[-1])
    assert storage.read_bars(first, half, (), remember=False).times.tolist() == starts[5:-1]
    bars = storage.read_bars(first, half, remember=False)
    assert storage.counters.usage().reads == before + 1
    assert bars.times.tolist() == starts[5:-1]
    assert bars.columns["close"].tolist() == expected["close"].tolist()[5:-1]
    storage.outline(first)
    assert len(storage.read_bars(second, remember=False).times) == storage.facts(second).rows, "it is another series"
    assert storage.counters.usage().reads == before + 3
