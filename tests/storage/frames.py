"""Frames of bars for the tests, and hypothesis strategies that make them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytz
from hypothesis import strategies as st

NEW_YORK = pytz.timezone("America/New_York")
UNITS = ("ns", "us", "ms", "s")


def index_of(seconds: Any, unit: str = "ns") -> pd.DatetimeIndex:
    """Return epoch seconds as the index that the store returns."""
    ticks = np.asarray(seconds, dtype=np.int64).astype("M8[s]").astype(f"M8[{unit}]")
    return pd.DatetimeIndex(ticks, name="datetime").tz_localize("UTC").tz_convert(NEW_YORK)


def minute_bars(start: str = "2024-01-02 09:30", rows: int = 60, seed: int = 0, freq: str = "min") -> pd.DataFrame:
    """Return plausible bars from a New York time on."""
    rng = np.random.default_rng(seed)
    close = np.round(100 + np.cumsum(rng.normal(0, 0.05, rows)), 2)
    index = pd.date_range(start, periods=rows, freq=freq, tz=NEW_YORK, name="datetime")
    spread = np.round(rng.uniform(0, 0.2, rows), 2)
    return pd.DataFrame(
        {
            "open": close,
            "high": np.round(close + spread, 2),
            "low": np.round(close - spread, 2),
            "close": close,
            "volume": rng.integers(0, 10_000, rows),
        },
        index=index,
    )


def assert_same(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Fail unless both frames are the same: index, columns, dtypes, and values to the bit."""
    pd.testing.assert_frame_equal(actual, expected, check_exact=True, check_freq=False)
    assert actual.index.dtype == expected.index.dtype
    for name in expected.columns:
        one, other = actual[name], expected[name]
        assert one.dtype == other.dtype, name
        if one.dtype.kind == "f":
            floats = [np.asarray(s.to_numpy(dtype=np.float64, na_value=0.0)) for s in (one, other)]
            # NaN equals NaN with any bits (a nullable column may hold it as a value); 0.0 does not equal -0.0.
            gaps = other.isna().to_numpy() | np.isnan(floats[1])
            assert np.isnan(floats[0][np.isnan(floats[1])]).all(), name
            assert (floats[0].view(np.int64)[~gaps] == floats[1].view(np.int64)[~gaps]).all(), name
        elif one.dtype == object:
            assert [type(a) for a in one] == [type(b) for b in other], name


def bar_seconds_strategy(
    low: int = -(2**33), high: int = 1_700_000_000, max_size: int = 30
) -> st.SearchStrategy[list[int]]:
    """Return increasing bar starts: minutes, in some centuries up to 2023."""
    return st.lists(st.integers(low // 60, high // 60), min_size=1, max_size=max_size, unique=True).map(
        lambda minutes: [60 * minute for minute in sorted(minutes)]
    )


_FLOATS = st.floats(width=64)
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


def _numpy_column(dtype: str, rows: int) -> st.SearchStrategy[Any]:
    if dtype.startswith("float"):
        values: st.SearchStrategy[Any] = st.floats(width=int(dtype[5:]))  # type: ignore[arg-type]
    elif dtype == "bool":
        values = st.booleans()
    else:
        limits = np.iinfo(dtype)
        values = st.integers(int(limits.min), int(limits.max))
    return _list(values, rows).map(lambda v: np.array(v, dtype=dtype))


def _masked_column(dtype: str, rows: int) -> st.SearchStrategy[Any]:
    values = _numpy_column(dtype.lower().replace("boolean", "bool"), rows)
    gaps = _list(st.booleans(), rows).map(np.array)
    array_type: Any = pd.array([], dtype=dtype).__class__
    return st.tuples(values, gaps).map(lambda pair: array_type(pair[0], np.array(pair[1], dtype=bool)))


def _object_column(rows: int) -> st.SearchStrategy[Any]:
    missing = st.sampled_from([None, np.nan, pd.NA])
    return missing.flatmap(
        lambda gap: _list(st.one_of(_TEXT, st.just(gap)), rows).map(lambda v: pd.Series(v, dtype=object).array)
    )


def _string_column(dtype: Any, rows: int) -> st.SearchStrategy[Any]:
    return _list(st.one_of(_TEXT, st.none()), rows).map(lambda v: pd.array(v, dtype=dtype))


def _time_column(unit: str, zone: str | None, rows: int) -> st.SearchStrategy[Any]:
    bound = 2**62 if unit == "ns" else 6 * 10**10
    # Before 1677, pandas reads what is not its own when it makes local times of a zone with other units than ns.
    lowest = -bound if zone in (None, "UTC") else max(-bound, -9_200_000_000)
    values = _list(st.one_of(st.integers(lowest, bound), st.none()), rows)

    def made(ticks: list[int | None]) -> Any:
        missing = np.iinfo(np.int64).min
        index = pd.DatetimeIndex(np.array([missing if t is None else t for t in ticks], "int64").view(f"M8[{unit}]"))
        return (index if zone is None else index.tz_localize("UTC").tz_convert(zone)).array

    return values.map(made)


def _list(values: st.SearchStrategy[Any], rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=rows, max_size=rows)


NUMPY = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint8", "bool")
MASKED = ("Float64", "Float32", "Int64", "Int32", "Int8", "UInt64", "UInt16", "boolean")
STRINGS = (
    pd.StringDtype("python"),
    pd.StringDtype("pyarrow"),
    pd.StringDtype("python", na_value=np.nan),
    pd.StringDtype("pyarrow", na_value=np.nan),
)


def column_strategy(rows: int) -> st.SearchStrategy[Any]:
    """Return columns of every dtype that can be stored."""
    zones = st.sampled_from([None, "UTC", "America/New_York", "Asia/Kolkata"])
    return st.one_of(
        st.sampled_from(NUMPY).flatmap(lambda dtype: _numpy_column(dtype, rows)),
        st.sampled_from(MASKED).flatmap(lambda dtype: _masked_column(dtype, rows)),
        st.sampled_from(STRINGS).flatmap(lambda dtype: _string_column(dtype, rows)),
        _object_column(rows),
        st.just(pd.Series([None] * rows, dtype=object).array),
        st.tuples(st.sampled_from(UNITS), zones).flatmap(lambda pair: _time_column(*pair, rows)),
    )


_NAMES = ("volume", "bid", "ask", "adj_close", "dividend", "Dividends", "stock_splits", "Stock Splits", "vwap")
column_names = st.one_of(
    st.sampled_from([*_NAMES, "note", "Note", "NOTE", 'qu"ote', "ü", "with space", "version_id", "ts", "rowid"]),
    _TEXT.filter(
        lambda name: bool(name) and name.lower() not in ("open", "high", "low", "close", "volume", "datetime")
    ),
)


@st.composite
def frame_strategy(draw: st.DrawFn) -> pd.DataFrame:
    """Return a frame with prices and columns of any kind, at any resolution."""
    seconds = draw(bar_seconds_strategy())
    rows = len(seconds)
    columns: dict[str, Any] = {"close": np.array(draw(_list(_FLOATS, rows)))}
    for name in draw(st.lists(column_names, max_size=4, unique=True)):
        columns[name] = draw(column_strategy(rows))
    order = draw(st.permutations(list(columns)))
    unit = draw(st.sampled_from(UNITS))
    return pd.DataFrame({name: columns[name] for name in order}, index=index_of(seconds, unit))
