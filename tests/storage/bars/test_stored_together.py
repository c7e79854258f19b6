"""A strategy that touches series stored together: one query for all of them, and never an outdated answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.storage import catalog
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import outline_records
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.reference import corporate_actions
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

    def count_calls(run: Callable[..., object]) -> Callable[..., object]:
        def counted(cursor: StoreCursor, query: str, *arguments: object) -> object:
            asked.append(query)
            return run(cursor, query, *arguments)

        return counted

    def count(table: str) -> int:
        found = sum(f"{{db}}.{table}" in query for query in asked)
        asked.clear()
        return found

    for name in ("rows", "arrow"):
        monkeypatch.setattr(StoreCursor, name, count_calls(getattr(StoreCursor, name)))
    return count


def test_one_query_for_coverage_and_none_for_facts_of_series_stored_together(
    storage: DuckDBDataStorage, chain: list[SeriesKey], queries: Callable[[str], int]
) -> None:
    fresh = DuckDBDataStorage(storage.path)
    fresh.list_series()
    queries("")
    for contract in (*chain, key(0.0, NEXT_FRIDAY)):
        assert fresh.coverage(contract) == [DAY]
    assert queries("coverage") == 1
    for rows, contract in enumerate(chain, start=10):
        assert fresh.facts(fresh.pin(contract)).rows == rows
    assert fresh.facts(fresh.pin(key(0.0, NEXT_FRIDAY))).rows == 60
    assert queries("ingest") == 0


@pytest.mark.older_duckdb
def test_pages_of_series_are_disjoint(
    storage: DuckDBDataStorage, chain: list[SeriesKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_PAGE", 3)
    longer = TimeRange(DAY.start, DAY.end + 86_400)
    store(storage, chain[1], covered=longer)
    storage.delete_series(chain[2].asset, "polygon", "minute", adjustment="split")
    fresh = DuckDBDataStorage(storage.path)
    ids = [fresh.pin(info.key).series_id for info in fresh.list_series()]
    pages = {fresh._store.catalog.page_of(series_id) for series_id in ids}
    assert sorted(each for page in pages for each in page) == sorted(ids)
    assert max(map(len, pages)) == 3
    assert [fresh.coverage(contract) for contract in chain] == [[DAY], [longer], [], [DAY], [DAY]]
    store(fresh, key(50.0))
    assert fresh.coverage(key(50.0)) == [DAY]
    assert fresh.facts(fresh.pin(key(50.0))).rows == 60


def test_a_page_has_what_was_changed_since_series_were_first_stored(
    storage: DuckDBDataStorage, chain: list[SeriesKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outline_records, "SHORT_SERIES", 5)
    old = storage.pin(chain[0])
    for other in (chain[0], key(70.0)):
        changed = minute_bars(rows=20) * 2
        storage.store_ohlcv_data(other.asset, changed, "polygon", "minute", adjustment="split", metadata={"times": 2})
    fresh = DuckDBDataStorage(storage.path)
    pins = [fresh.pin(chain[0]), fresh.pin(key(70.0)), old]
    page = fresh._store.head_page(old.series_id)
    assert page is not None
    assert [page.outline(pin.version_id) is None for pin in pins] == [False, False, True]
    assert [fresh.outline(pin).rows for pin in pins] == [20, 20, 10]
    assert page.writes([pins[0].ingest_id]) is not None
    assert page.writes([10**6]) is None
    whole = [TimeRange(0, 2**40)]
    assert [[note.metadata for note in fresh.ingests(pin, whole)] for pin in pins] == [[{"times": 2}]] * 2 + [[{}]]


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


@pytest.mark.older_duckdb
@pytest.mark.parametrize(("few", "reads"), [(1_000, 1), (5, 6)])
def test_the_splits_of_all_stocks_are_read_at_once_or_after_a_few(
    storage: DuckDBDataStorage, queries: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, few: int, reads: int
) -> None:
    monkeypatch.setattr(corporate_actions, "_FEW_ROWS", few)
    days = [dt.date(2024, 1, day) for day in range(1, 11)]
    for number, day in enumerate(days):
        actions = [CorporateAction(each, split_from=1, split_to=number + 2) for each in (day, FRIDAY)]
        storage.record_corporate_actions(f"S{number}", actions, "polygon")
        storage.record_corporate_actions(f"S{number}", [], "yahoo")
    queries("")
    for number, day in enumerate(days):
        known = storage.corporate_actions(f"S{number}", "polygon")
        assert known is not None
        assert [(each.ex_date, each.split_to) for each in known.actions] == [(day, number + 2), (FRIDAY, number + 2)]
    assert storage.corporate_actions("S99", "polygon") is None
    assert queries("corporate_action_check") == reads
    storage.record_corporate_actions("S99", [], "polygon")
    assert storage.corporate_actions("S99", "polygon") is not None


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
