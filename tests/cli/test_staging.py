"""Sorting out the rows of a file, against a plain model; and files mangled in every way."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from cli.files import csv_of, minutes
from hypothesis_settings import examples
from lumibot_duckdb.importing.importer import ImportChoice, import_file
from lumibot_duckdb.importing.refusal import Refusal
from lumibot_duckdb.importing.staging import Staging
from lumibot_duckdb.importing.times import TimeChoice
from lumibot_duckdb.storage.api import WriteResult

_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-3, 3).map(lambda n: n * 60), st.sampled_from([1.0, 2.0, float("nan")])),
    max_size=30,
)


@examples(25)
@given(_ROWS, st.integers(1, 7), st.integers(1, 5))
def test_bars_are_returned_in_order_once_or_not_at_all(
    rows: list[tuple[int, int, float]], piece: int, at_most: int
) -> None:
    values_at: dict[tuple[int, int], list[float]] = defaultdict(list)
    for series, time, value in rows:
        values_at[series, time].append(value)
    clear = {key: values[0] for key, values in values_at.items() if len({repr(value) for value in values}) == 1}

    with Staging(["close"]) as staging:
        for start in range(0, len(rows), piece):
            part = np.array(rows[start : start + piece])
            numbers = np.arange(start, start + len(part)) + 1
            series, times = part[:, 0].astype(np.int64), part[:, 1].astype(np.int64)
            staging.add(numbers, series, times, np.zeros(len(part), np.int64), {"close": part[:, 2]})
        unsure, repeated = staging.settle()
        gaps = Counter(
            after - before
            for wanted in range(3)
            for times_of in [sorted(time for series, time in clear if series == wanted)]
            for before, after in pairwise(times_of)
        )
        assert staging.gaps() == gaps
        refused = staging.refused_among(1, len(rows))
        parts = list(staging.bars(at_most))

    found = [
        (bars.series, time, value)
        for bars in parts
        for time, value in zip(bars.times.tolist(), bars.values["close"].tolist(), strict=True)
    ]
    assert [row[:2] for row in found] == sorted(clear)
    assert [repr(row[2]) for row in found] == [repr(clear[row[:2]]) for row in found]
    assert all(len(bars.times) <= at_most for bars in parts)
    conflicting = [n for n, (series, time, _) in enumerate(rows, 1) if (series, time) not in clear]
    assert refused == dict.fromkeys(conflicting, Refusal.CONFLICT)
    assert (unsure, repeated) == (0, len(rows) - len(conflicting) - len(clear))


class Recorder:
    """Takes the place of a store."""

    def store_ohlcv_data(self, asset: Any, data: pd.DataFrame, *names: Any, **options: Any) -> WriteResult:
        assert data.index.is_monotonic_increasing
        assert data.index.is_unique
        assert data.index.tz is not None
        assert (data["high"] < data["low"]).sum() == 0
        return WriteResult(asset, 1, added=len(data))


_WHOLE_FILES = [
    csv_of([f"2024-01-{day:02}" for day in range(1, 20)]),
    csv_of(minutes("2024-01-02 09:30", 19, zone="UTC")),
    csv_of(minutes("2024-11-03 00:50", 19)).replace(",", ";").replace(".", ","),
    csv_of([str(1704205800 + 60 * i) for i in range(19)]),
    csv_of([f"01/{day:02}/2024,9:30 AM" for day in range(1, 20)], header="Date,Time,o,h,l,c,v"),
    csv_of([f'"Jan {day:02}, 2024"' for day in range(1, 20)], header="Date,Price,Open,High,Low,Vol."),
]
_JUNK = st.sampled_from(
    [
        *("9999-12-31", "0001-01-01", "1500-01-01", "2024-02-30", "2024-11-03 01:30", "24:00", "31.12.9999", "NaT"),
        *("253402300799", "", "nan", "inf", "-1", "1e308", "1e400", "9" * 25, "1,234", "12,34", "1.2.3", "$1", "0"),
        *("true", "\u0661", "\x00", "\u00e9", '"', "'", "\n", "\r", ",", ";", "\t", "  ", "\ufeff", "\x1a"),
    ]
)
_EDITS = st.lists(st.tuples(st.sampled_from(["field", "insert", "delete"]), st.integers(0, 10_000), _JUNK), max_size=6)


def mangled(text: str, edits: list[tuple[str, int, str]]) -> str:
    for kind, place, junk in edits:
        if kind == "field":
            lines = text.split("\n")
            fields = lines[place % len(lines)].split(",")
            fields[place % len(fields)] = junk
            lines[place % len(lines)] = ",".join(fields)
            text = "\n".join(lines)
        else:
            at = place % (len(text) + 1)
            text = text[:at] + (junk + text[at:] if kind == "insert" else text[at + 1 + place % 5 :])
    return text


@pytest.mark.filterwarnings("error")
@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(_WHOLE_FILES), _EDITS, st.sampled_from([None, "UTC", "America/New_York"]))
def test_a_mangled_file_is_refused_or_every_row_of_it_is_accounted_for(
    tmp_path: Path, text: str, edits: list[tuple[str, int, str]], zone: str | None
) -> None:
    file = tmp_path / "AAPL.csv"
    file.write_text(mangled(text, edits), newline="")
    report = import_file(file, Recorder(), ImportChoice(times=TimeChoice(zone)), tmp_path / "quarantine")
    if report.error is not None:
        assert report.added == 0
    else:
        assert report.rows == report.added + report.repeated + sum(report.refused.values())
