"""polars frames and Arrow tables come back as they went in, and bad ones are refused like bad pandas frames."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from storage.bars.test_round_trip import new_storage
from storage.frames import assert_same, bar_seconds_strategy, column_names, frame_strategy, minute_bars

pytestmark = pytest.mark.older_duckdb

TIMES = pa.array([1_704_205_800, 1_704_205_860, 1_704_205_920], pa.int64()).cast(pa.timestamp("s", "UTC"))
TABLE = pa.table({"datetime": TIMES, "close": [1.0, 2.5, 2.0], "volume": [3, None, 2**60]})
POLARS = pl.DataFrame(TABLE)

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.timestamp("us"): st.integers(-(2**50), 2**50),
    pa.timestamp("ns", "Asia/Kolkata"): st.integers(-(2**62), 2**62),
    pa.timestamp("ms", "UTC"): st.integers(-(2**40), 2**40),
    pa.null(): st.none(),
}
for bits in (8, 16, 32, 64):
    VALUES[getattr(pa, f"int{bits}")()] = st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    VALUES[getattr(pa, f"uint{bits}")()] = st.integers(0, 2**bits - 1)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Return a table with the time column `datetime` anywhere, and columns of any type that can be stored."""
    seconds = draw(bar_seconds_strategy())
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    times = (
        pa.array(seconds, pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(unit)).cast(pa.timestamp(unit, "UTC"))
    )
    columns = {"datetime": times, "close": draw(_column(pa.float64(), len(seconds)))}
    for name in draw(st.lists(column_names.filter(lambda n: n.lower() not in ("date", "time", "ts")), max_size=4)):
        columns[name] = draw(st.sampled_from(list(VALUES)).flatmap(lambda kind: _column(kind, len(seconds))))
    return pa.table({name: columns[name] for name in draw(st.permutations(list(columns)))})


def _column(kind: pa.DataType, rows: int) -> st.SearchStrategy[pa.Array]:
    values = VALUES[kind] if pa.types.is_null(kind) else st.one_of(VALUES[kind], VALUES[kind], st.none())
    stored = pa.int64() if pa.types.is_timestamp(kind) else kind
    return st.lists(values, min_size=rows, max_size=rows).map(lambda found: pa.array(found, stored).cast(kind))


def in_order(table: pa.Table, *, time: str = "datetime") -> pa.Table:
    """Return a table as the store returns it: times first, in UTC, and NaN is a missing value."""
    others = {name: _without_nan(table[name]) for name in table.column_names if name != time}
    unit = table.schema.field(time).type.unit
    return pa.table({"datetime": table[time].cast(pa.timestamp(unit, "UTC")), **others})


def _without_nan(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def assert_equal(actual: pa.Table, expected: pa.Table) -> None:
    """Fail unless both tables have the same columns, types, gaps and values, to the bit."""
    assert actual.schema == expected.schema.remove_metadata()
    for name in expected.column_names:
        one, other = (t[name].combine_chunks() for t in (actual, expected))
        one, other = (a.chunk(0) if isinstance(a, pa.ChunkedArray) else a for a in (one, other))
        assert one.is_null().equals(other.is_null()), name
        if pa.types.is_floating(other.type):
            floats = [a.fill_null(0.0).to_numpy(zero_copy_only=False) for a in (one, other)]
            assert floats[0].tobytes() == floats[1].tobytes(), name
        else:
            assert one.equals(other), name


@examples(20)
@given(table=tables())
def test_any_table_comes_back_as_it_went_in(table: pa.Table) -> None:
    with new_storage() as storage:
        storage.store_ohlcv_data("X", table, "test", "minute")
        assert_equal(storage.to_arrow("X"), in_order(table))
        assert storage.store_ohlcv_data("X", table, "test", "minute").unchanged == table.num_rows
        storage.close()
        anew = DuckDBDataStorage(storage.path)
        assert_equal(anew.to_arrow("X"), in_order(table))
        # What comes out goes in again, and is the same series.
        assert storage.store_ohlcv_data("X", anew.to_arrow("X"), "test", "minute").unchanged == table.num_rows


@examples(12)
@given(table=tables())
def test_any_polars_frame_comes_back_as_it_went_in(table: pa.Table) -> None:
    # Between libraries, a name ends at a zero.
    frame = pl.DataFrame(table.select([name for name in table.column_names if "\0" not in name]))
    with new_storage() as storage:
        storage.store_ohlcv_data("X", frame, "test", "minute")
        found = storage.to_polars("X")
        assert found.schema == frame.select("datetime", pl.exclude("datetime")).schema
        assert_equal(pa.table(found), in_order(pa.table(frame)))
        assert storage.store_ohlcv_data("X", found.lazy(), "test", "minute").unchanged == len(frame)


@examples(12)
@given(frame=frame_strategy())
def test_what_pandas_stored_is_the_same_through_arrow_and_polars(frame: pd.DataFrame) -> None:
    frame = frame.rename(columns={name: f"{name} " for name in ("date", "time", "ts") if name in frame})
    frame = frame[[name for name in frame if frame[name].dtype != np.float16 and "\0" not in name]]
    with new_storage() as storage:
        storage.store_ohlcv_data("X", frame, "test", "minute")
        stored = storage.to_arrow("X")
        storage.store_ohlcv_data("ARROW", stored, "test", "minute")
        assert_equal(storage.to_arrow("ARROW"), stored)
        storage.store_ohlcv_data("POLARS", storage.to_polars("X"), "test", "minute")
        assert storage.to_polars("POLARS").equals(storage.to_polars("X"))
        assert_same(storage.to_pandas("X"), frame)


@pytest.mark.parametrize(
    "made",
    [
        lambda: TABLE,
        lambda: TABLE.to_batches()[0],
        lambda: TABLE.to_reader(),
        lambda: pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]),
        lambda: POLARS.cast({"datetime": pl.Datetime("ms", "UTC")}),
        lambda: POLARS.lazy().sort("close"),
        lambda: duckdb.sql("FROM POLARS"),
        lambda: TABLE.cast(pa.schema([("datetime", pa.timestamp("us", "Asia/Tokyo")), *list(TABLE.schema)[1:]])),
        lambda: TABLE.rename_columns(["Timestamp", "Close", "VOLUME"]),
        lambda: TABLE.take(pa.array([2, 0, 1])),
        lambda: TABLE.append_column("date", pa.array(["a", "b", "c"])).drop_columns("date"),
    ],
)
def test_whatever_offers_its_columns_to_arrow(storage: DuckDBDataStorage, made: Any) -> None:
    assert storage.store_ohlcv_data("X", made(), "test", "minute").added == 3
    frame = storage.to_pandas("X")
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "Int64"]
    assert frame["close"].tolist() == [1.0, 2.5, 2.0]
    assert frame["volume"].tolist() == [3, pd.NA, 2**60]


@pytest.mark.parametrize("name", ["datetime", "Timestamp", "TIME", "date", "ts"])
def test_the_column_of_times_goes_by_its_name(storage: DuckDBDataStorage, name: str) -> None:
    received = pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("s", "UTC"))
    table = pa.table({"received": received, "close": TABLE["close"], name: TIMES})
    storage.store_ohlcv_data("X", table, "test", "minute")
    assert_equal(storage.to_arrow("X"), in_order(table, time=name))


def test_a_pandas_frame_that_became_a_table(storage: DuckDBDataStorage) -> None:
    frame = minute_bars()
    for symbol, index_name in (("NAMED", "datetime"), ("UNNAMED", None)):
        storage.store_ohlcv_data(symbol, pa.Table.from_pandas(frame.rename_axis(index_name)), "test", "minute")
        assert_same(storage.to_pandas(symbol), frame)


def test_a_text_beside_the_times_is_kept_even_if_it_is_called_date(storage: DuckDBDataStorage) -> None:
    storage.store_ohlcv_data("X", TABLE.append_column("date", pa.array(["a", "b", "c"])), "test", "minute")
    assert storage.to_pandas("X")["date"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_texts_of_other_types_come_back_as_strings(storage: DuckDBDataStorage, kind: pa.DataType) -> None:
    storage.store_ohlcv_data("X", TABLE.append_column("note", pa.array(["a", None, "c"]).cast(kind)), "test", "minute")
    assert storage.to_arrow("X")["note"].to_pylist() == ["a", None, "c"]
    assert storage.to_arrow("X").schema.field("note").type == pa.string()


def with_column(name: str, values: Any) -> pa.Table:
    return TABLE.append_column(name, values)


BAD_TABLES: dict[str, tuple[Any, str]] = {
    "no column of times": (
        TABLE.drop_columns("datetime"),
        "['close', 'volume'] is named datetime, timestamp, time, da",
    ),
    "no columns": (pl.DataFrame(), "none of the columns [] is named datetime"),
    "two columns of times": (
        with_column("Time", TIMES),
        "the columns 'datetime' and 'Time' could all be the bar starts",
    ),
    "times without a zone": (
        POLARS.with_columns(pl.col("datetime").dt.replace_time_zone(None)),
        "column 'datetime' have no time zone; first row: 2024-01-02 14:30:00. Set the right one, for example with "
        "pl.col('datetime').dt.replace_time_zone(\"America/New_York\")",
    ),
    "dates": (
        pa.table({"date": pa.array([dt.date(2024, 1, 2)]), "close": [1.0]}),
        "column 'date' holds date32[day], not times; make it a timestamp with a time zone",
    ),
    "numbers for times": (pa.table({"ts": [17], "close": [1.0]}), "'ts' holds int64, not times; make it"),
    "an empty table without types": (pa.table({"ts": pa.nulls(0)}), "first row: 'none'"),
    "no time in a row": (
        pa.table({"ts": pa.array([1, None], pa.int64()).cast(pa.timestamp("s", "UTC")), "close": [1.0, 2.0]}),
        "row 1 has no time (NaT)",
    ),
    "a fraction of a second": (
        pa.table({"ts": pa.array([1001], pa.int64()).cast(pa.timestamp("ms", "UTC")), "close": [1.0]}),
        "row 0 (1970-01-01 00:00:01.001000+00:00) is not on a whole second",
    ),
    "a time twice": (pa.concat_tables([TABLE, TABLE]), "the bar of 2024-01-02T14:30:00 UTC occurs twice"),
    "a column twice": (with_column("Close", TABLE["close"]), "the column 'close' occurs twice"),
    "a column without a name": (with_column("", TABLE["close"]), "the column name '' is not a string"),
    "no prices": (TABLE.drop_columns("close"), "none of the columns ['volume'] is open, high, low or close"),
    "an unknown zone": (
        with_column("when", TIMES.cast(pa.timestamp("s")).cast(pa.timestamp("s", "Mars/Olympus"))),
        "the time zone 'Mars/Olympus' of column 'when' is unknown",
    ),
    "a series": (pl.Series("close", [1.0]), "polars.Series is not a table of bars"),
    "text that is none": (
        with_column(
            "note",
            pa.Array.from_buffers(
                pa.string(),
                3,
                [None, *(pa.py_buffer(b) for b in (np.array([0, 1, 2, 3], np.int32).tobytes(), b"a\xffb"))],
            ),
        ),
        "Invalid UTF8",
    ),
    **{
        f"a column of {name}": (
            with_column("extra", values),
            f"column 'extra' holds {values.type}, which cannot be sto",
        )
        for name, values in {
            "dates": pa.array([dt.date(2024, 1, 2)] * 3),
            "decimals": pa.array([Decimal("1.5")] * 3),
            "categories": pa.array(["a"] * 3).dictionary_encode(),
            "lists": pa.array([[1]] * 3),
            "durations": pa.array([dt.timedelta(1)] * 3),
            "bytes": pa.array([b"a"] * 3),
        }.items()
    },
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_with_its_reason(storage: DuckDBDataStorage, name: str) -> None:
    table, says = BAD_TABLES[name]
    with pytest.raises(InvalidBarsError) as refused:
        storage.store_ohlcv_data("XYZ", table, "test", "minute")
    assert says in str(refused.value)
    assert str(refused.value).startswith("XYZ stock, minute bars from test: ")
    assert "\n" not in str(refused.value)
    assert not storage.path.exists()


def test_an_empty_table_for_a_covered_range(storage: DuckDBDataStorage) -> None:
    covered = TimeRange(1_700_000_000 // 60 * 60, 1_700_000_000 // 60 * 60 + 600)
    storage.store_ohlcv_data("X", TABLE.slice(0, 0), "test", "minute", covered=covered)
    assert storage.coverage("X") == [covered]
    assert storage.to_arrow("X").schema.names == ["datetime", "close", "volume"]


def test_reading_without_a_pin(storage: DuckDBDataStorage) -> None:
    frame = minute_bars(rows=10)
    storage.store_ohlcv_data("X", frame, "test", "minute")
    before = dt.datetime.now(dt.timezone.utc)
    storage.store_ohlcv_data("X", frame.assign(volume=7), "test", "minute")
    storage.store_ohlcv_data("X", frame, "other", "minute", adjustment="split")
    arguments: dict[str, Any] = {"source": "test", "adjustment": "", "as_of": before}
    expected = frame.iloc[2:5]
    assert_same(storage.to_pandas("X", frame.index[2], frame.index[5], **arguments), expected)
    assert_same(storage.get_historical_prices("X", frame.index[2], frame.index[5], **arguments), expected)
    for found in (
        storage.to_arrow("X", frame.index[2], frame.index[5], **arguments),
        pa.table(storage.to_polars("X", frame.index[2], frame.index[5], **arguments)),
    ):
        assert_equal(found, pa.table(storage.to_arrow(storage.pin("X", **arguments).key, as_of=before))[2:5])
        assert found["volume"].to_pylist() == expected["volume"].tolist()


def test_polars_is_not_imported_for_others(storage: DuckDBDataStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    storage.store_ohlcv_data("X", TABLE, "test", "minute")
    assert storage.to_arrow("X").num_rows == 3
