"""Option chains are returned unchanged, the newest one of the requested dates."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
import textwrap
from collections import UserDict
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import AssetKey
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidRecordError

DAY = dt.date(2024, 1, 2)
CHAIN: dict[str, Any] = {
    "Multiplier": 100,
    "Exchange": "NYSE",
    "Chains": {
        "PUT": {"2024-01-26": [470], "2024-01-19": []},
        "CALL": {"2024-01-19": [470, 0.1 + 0.2, 472.5, 475.0, -0.0, 2**70]},
    },
}


def kept(storage: DuckDBDataStorage, chain: Any) -> Any:
    """Store a chain and return what comes back."""
    storage.store_option_chain("SPY", chain, "polygon", DAY)
    found = DuckDBDataStorage(storage.path).option_chain("SPY", "polygon", DAY, DAY)
    assert found is not None
    return found.chain


def as_text(chain: Any) -> str:
    """Return a text that distinguishes 1 from 1.0, 0.0 from -0.0, and orders of keys."""
    return json.dumps(chain)


def test_a_chain_comes_back_as_it_went_in(storage: DuckDBDataStorage) -> None:
    assert as_text(kept(storage, CHAIN)) == as_text(CHAIN)


@pytest.mark.parametrize(
    "chain",
    [
        {"Multiplier": None, "Exchange": None, "Chains": {"CALL": {}, "PUT": {}}},
        {"Chains": {}},
        {"Chains": {"CALL": {"2024-01-19": [1.0]}}, "Note": {"a": [1, None, True]}, "Multiplier": 10},
    ],
)
def test_empty_and_further_parts_are_kept(storage: DuckDBDataStorage, chain: Any) -> None:
    assert as_text(kept(storage, chain)) == as_text(chain)


strikes = st.lists(st.one_of(st.integers(0, 10**6), st.floats(allow_nan=False, allow_infinity=False)), max_size=5)
expirations = st.dictionaries(st.dates().map(dt.date.isoformat), strikes, max_size=4)
chains = st.fixed_dictionaries(
    {
        "Multiplier": st.one_of(st.none(), st.integers(1, 1000)),
        "Exchange": st.one_of(st.none(), st.text(max_size=5)),
        "Chains": st.dictionaries(st.sampled_from(["CALL", "PUT", "a.b", 'qu"ote']), expirations),
    }
)


@pytest.mark.older_duckdb
@given(chain=chains)
@examples(10)
def test_any_chain_comes_back(tmp_path_factory: pytest.TempPathFactory, chain: Any) -> None:
    storage = DuckDBDataStorage(tmp_path_factory.mktemp("chain"))
    try:
        assert as_text(kept(storage, chain)) == as_text(chain)
        assert storage.verify().findings == []
    finally:
        storage.close()


def test_numbers_of_numpy_come_back_as_numbers(storage: DuckDBDataStorage) -> None:
    chain = {"Chains": {"CALL": {"2024-01-19": list(np.array([470.0, 472.5]))}}}
    assert as_text(kept(storage, chain)) == '{"Chains": {"CALL": {"2024-01-19": [470.0, 472.5]}}}'


@pytest.mark.parametrize(
    "chain",
    [
        {},
        {"Chains": None},
        {"Chains": {"CALL": [470.0]}},
        {"Chains": {"CALL": {dt.date(2024, 1, 19): [470.0]}}},
        {"Chains": {"CALL": {20240119: [470.0]}}},
        {"Chains": {"CALL": {"2024-01-19": (470.0,)}}},
        {"Chains": {"CALL": {"2024-01-19": [Decimal("470")]}}},
        {"Chains": {"CALL": {"2024-01-19": [np.int64(470)]}}},
        {"Chains": {"CALL": {"2024-01-19": [math.nan]}}},
        {"Chains": {"CALL": {"2024-01-19": UserDict()}}},
        [],
    ],
)
def test_a_chain_that_would_come_back_as_another_is_refused(storage: DuckDBDataStorage, chain: Any) -> None:
    with pytest.raises(InvalidRecordError, match="the option chain of SPY stock cannot be stored"):
        storage.store_option_chain("SPY", chain, "polygon", DAY)
    assert not storage.path.exists()


def test_the_newest_chain_of_the_dates_is_given(storage: DuckDBDataStorage) -> None:
    for day in (3, 9, 5):
        storage.store_option_chain("SPY", {"Chains": {}, "Day": day}, "polygon", dt.date(2024, 1, day))

    def day_found(first: int, last: int) -> int | None:
        found = storage.option_chain("SPY", "polygon", dt.date(2024, 1, first), dt.date(2024, 1, last))
        assert found is None or found.as_of == dt.date(2024, 1, found.chain["Day"])
        return None if found is None else int(found.chain["Day"])

    ranges = [(1, 31), (1, 8), (5, 5), (4, 4), (6, 8), (3, 4), (9, 3)]
    assert [day_found(*bounds) for bounds in ranges] == [9, 5, 5, None, None, 3, None]


def test_chains_are_distinguished_by_underlying_source_and_bound(storage: DuckDBDataStorage) -> None:
    asked: list[tuple[Any, str, int | None]] = [
        ("SPY", "polygon", None),
        ("SPY", "polygon", 30),
        ("SPY", "polygon", 60),
        ("SPY", "thetadata", None),
        (AssetKey("SPY", "index"), "polygon", None),
        ("QQQ", "polygon", 0),
    ]
    for number, (underlying, source, days) in enumerate(asked):
        storage.store_option_chain(underlying, {"Chains": {}, "N": number}, source, DAY, days_ahead=days)
    found = [storage.option_chain(u, source, DAY, DAY, days_ahead=days) for u, source, days in asked]
    assert [(f.chain["N"], f.source, f.days_ahead) for f in found if f is not None] == [
        (number, source, days) for number, (_, source, days) in enumerate(asked)
    ]
    assert storage.option_chain("QQQ", "polygon", DAY, DAY) is None


def test_the_same_key_again_replaces(storage: DuckDBDataStorage) -> None:
    kept(storage, CHAIN)
    later = {"Chains": {"CALL": {"2024-02-02": [1, 2]}}}
    assert kept(storage, later) == later
    assert storage.sql("SELECT expiration FROM option_chain_strikes").to_pylist() == [{"expiration": "2024-02-02"}]
    assert storage.verify().findings == []


def test_a_chain_that_is_changed_by_its_reader_is_as_before_for_the_next(storage: DuckDBDataStorage) -> None:
    kept(storage, CHAIN)["Chains"].clear()
    found = storage.option_chain("SPY", "polygon", DAY, DAY)
    assert found is not None
    assert found.chain == CHAIN


def test_dates_may_be_datetimes_but_not_texts(storage: DuckDBDataStorage) -> None:
    noon = dt.datetime(2024, 1, 2, 12)
    storage.store_option_chain("SPY", CHAIN, "polygon", noon)
    assert storage.option_chain("SPY", "polygon", noon, noon) == storage.option_chain("SPY", "polygon", DAY, DAY)
    with pytest.raises(InvalidRecordError, match="as of a date, not as of '2024-01-02'"):
        storage.store_option_chain("SPY", CHAIN, "polygon", "2024-01-02")  # type: ignore[arg-type]


def test_without_a_store_there_is_no_chain(storage: DuckDBDataStorage) -> None:
    assert storage.option_chain("SPY", "polygon", DAY, DAY) is None
    assert not storage.path.exists()


def test_chains_outlast_compaction(storage: DuckDBDataStorage) -> None:
    kept(storage, CHAIN)
    storage.store_option_chain("QQQ", {"Chains": {}}, "polygon", DAY, days_ahead=5)
    storage.compact(dt.timedelta(0))
    assert as_text(kept(storage, CHAIN)) == as_text(CHAIN)
    assert storage.option_chain("QQQ", "polygon", DAY, DAY, days_ahead=5) is not None
    assert storage.verify().findings == []


@pytest.mark.long
def test_many_large_chains_fit_in_little_memory(storage: DuckDBDataStorage) -> None:
    """As one text a chain, these are more than the memory that DuckDB takes them into when it works on their rows."""
    code = """
        import datetime as dt, random, sys
        from lumibot_duckdb import DuckDBDataStorage
        storage = DuckDBDataStorage(sys.argv[1], memory_limit="16MB")
        first, rng = dt.date(2024, 1, 2), random.Random(0)
        dates = [(first + dt.timedelta(n)).isoformat() for n in range(60)]
        with storage._store.connection.burst():
            for day in range(70):
                lists = {date: [round(rng.uniform(1, 900), 2) for _ in range(700)] for date in dates}
                chain = {"Chains": {"CALL": lists}}
                storage.store_option_chain("SPY", chain, "polygon", first + dt.timedelta(day))
        storage.close()
        storage.compact(dt.timedelta(0))
        found = storage.option_chain("SPY", "polygon", first, first + dt.timedelta(1000))
        print(found.chain == chain, storage.verify().findings)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(storage.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("True []\n"), done.stderr
    assert done.stderr == ""


def test_sql_finds_strikes(storage: DuckDBDataStorage) -> None:
    kept(storage, CHAIN)
    table = storage.sql(
        'SELECT as_of, "right", expiration, unnest(CAST(strikes AS DOUBLE[])) AS strike '
        "FROM option_chain JOIN option_chain_strikes USING (chain_id) "
        "WHERE asset_symbol = 'SPY' AND \"right\" = 'PUT' AND expiration >= '2024-01-20'"
    )
    assert table.to_pylist() == [{"as_of": DAY, "right": "PUT", "expiration": "2024-01-26", "strike": 470.0}]


def test_a_chain_is_queried_once_until_something_is_written(
    storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    queried = []
    rows = StoreCursor.rows

    def noting(cursor: StoreCursor, sql: str, parameters: Any = None) -> Any:
        queried.extend([sql] if "option_chain" in sql else [])
        return rows(cursor, sql, parameters)

    storage.store_option_chain("SPY", CHAIN, "polygon", DAY)
    monkeypatch.setattr(StoreCursor, "rows", noting)

    def found() -> Any:
        chain = storage.option_chain("SPY", "polygon", DAY, DAY)
        return None if chain is None else chain.chain

    first = found()
    assert first == CHAIN
    first["Chains"].clear()  # a caller may modify it
    assert queried
    del queried[:]
    assert found() == CHAIN
    assert not queried
    later = {"Chains": {"CALL": {"2024-02-02": [1, 2]}}}
    DuckDBDataStorage(storage.path).store_option_chain("SPY", later, "polygon", DAY)
    assert found() == later
