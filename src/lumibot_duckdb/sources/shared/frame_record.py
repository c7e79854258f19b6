"""Lumibot's record of the frames that a strategy received, with the text and the digest of each row made once.

Lumibot writes the record to three files at the end of a backtest. A strategy receives nearly the same rows again and
again, and Lumibot's recorder looks at each of their values every time. Here rows are found by their times and compared
bit by bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import isfinite, isnan
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.lumibot_contract.frame_record_hooks import (
    MARKET_COLUMNS,
    MarketInputEvidence,
    encoded,
    series_name,
)
from lumibot_duckdb.lumibot_contract.pandas_blocks import column_values

_ROW_LIMIT = "row_limit"
_Bits: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
_Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]


class FrameRecord(MarketInputEvidence):  # type: ignore[misc]
    """A record that an instance of Lumibot's class is turned into.

    The limits, the files and the notes on what is incomplete are Lumibot's. So is the path of frames with other values
    than floats and integers, or with times that are not in order.
    """

    _series: dict[tuple[Any, ...], _Series]
    _remembered: int

    @classmethod
    def take_over(cls, record: MarketInputEvidence) -> FrameRecord:
        """Turn Lumibot's own record, which may have begun, into one of this class; return the same object."""
        record.__class__ = cls
        assert isinstance(record, cls)
        record.rows = _Rows(record.rows)
        record._series = {}
        record._remembered = 0
        return record

    def record(self, *, asset: Any, timestep: Any, when: datetime, frame: Any, purpose: str, quote: Any = None) -> None:
        """Record a frame that a strategy received at the time `when` of the backtest. Thread-safe."""
        with self.lock:
            given = _GivenRows.of(frame) if len(self.observations) < self.max_observations else None
            if given is None or len(given.index) > self.max_rows:
                super().record(asset=asset, timestep=timestep, when=when, frame=frame, purpose=purpose, quote=quote)
                return
            columns = encoded(given.columns)
            context = {"asset": series_name(asset, quote), "timestep": str(timestep), "columns": columns}
            series = self._series_of(context, given)
            texts, new = series.texts(given)
            observed = when.isoformat()
            observation = {
                **context,
                "purpose": purpose,
                "observedAt": observed,
                "frameSha256": _digest(f'{{"columns":{columns},"rows":[{",".join(texts)}]}}'),
                "returnedRows": len(texts),
                "windowStart": _time(texts[0]),
                "windowEnd": _time(texts[-1]),
            }
            key = encoded(observation)
            if key in self.seen:
                return
            self._add_rows(series, [texts[row] for row in new], observed)
            self.seen.add(key)
            self.observations.append({**observation, "sequence": len(self.observations)})
            if self._remembered + len(new) <= self.max_rows:
                series.remember(given, texts, new)
                self._remembered += len(new)

    def _series_of(self, context: dict[str, str], given: _GivenRows) -> _Series:
        key = (*context.values(), *given.kind)
        if key not in self._series:
            self._series[key] = _Series(context, len(given.columns))
        return self._series[key]

    def _add_rows(self, series: _Series, texts: Sequence[str], observed: str) -> None:
        """Add rows to the record, unless it has them. Rows that a series remembers were added, or too many."""
        if len(self.rows) >= self.max_rows and _ROW_LIMIT in self.incomplete:
            return
        for text in texts:
            key = series.digest(text)
            if key in self.rows:
                continue
            if len(self.rows) >= self.max_rows:
                self.incomplete.add(_ROW_LIMIT)
                return
            self.rows[key] = _Row(series.context, text, observed, len(self.observations))


@dataclass(frozen=True)
class _GivenRows:
    """The recorded columns of a frame: their values bit by bit, a row of `bits` for each column."""

    columns: list[str]
    index: pd.DatetimeIndex
    times: _Bits
    bits: _Bits
    kind: tuple[str, ...]
    """What the text of a row depends on besides its time and bits: dtypes, time zone and unit of the time."""

    @classmethod
    def of(cls, frame: Any) -> _GivenRows | None:
        """Return the rows of a frame; None if it has none, or other values than floats and integers of 64 bits."""
        index = getattr(frame, "index", None)
        if not isinstance(index, pd.DatetimeIndex) or not len(index) or not frame.columns.is_unique:
            return None
        columns = {name: place for place, name in enumerate(frame.columns.tolist()) if name in MARKET_COLUMNS}
        arrays = [column_values(frame, place) for place in columns.values()]
        dtypes = [array.dtype.str if isinstance(array, np.ndarray) else "" for array in arrays]
        times = index.asi8
        in_order = times[0] != pd.NaT.value and bool((times[1:] > times[:-1]).all())
        if not columns or not in_order or not set(dtypes) <= {"<f8", "<i8"}:
            return None
        bits = np.stack([array.view(np.int64) for array in arrays])
        return cls([*columns], index, times, bits, (*dtypes, str(index.tz), index.unit))

    def texts(self, rows: _Numbers) -> list[str]:
        """Return rows as Lumibot's JSON: the time, and the value of each column."""
        values = [
            map(_number, bits[rows].view(dtype).tolist()) for bits, dtype in zip(self.bits, self.kind, strict=False)
        ]
        # pandas takes as long to select a few rows as to return ten, one by one.
        times = self.index[rows] if len(rows) > 10 else map(self.index.__getitem__, rows.tolist())
        return [f'["{time.isoformat()}",{",".join(row)}]' for time, *row in zip(times, *values, strict=True)]


class _Series:
    """The rows of one series that are remembered."""

    def __init__(self, context: dict[str, str], columns: int) -> None:
        self.context = context
        self._prefix = encoded(context)[:-1]
        self._rows: dict[int, int] = {}
        self._texts: list[str] = []
        self._bits = np.empty((columns, 64), np.int64)

    def texts(self, given: _GivenRows) -> tuple[list[str], _Numbers]:
        """Return the texts of all rows, and the numbers of those rows that are not remembered."""
        unknown = len(self._texts)
        places = np.array([self._rows.get(time, unknown) for time in given.times.tolist()])
        is_new = places == unknown
        if unknown:
            places[is_new] = 0
            is_new |= (self._bits[:, places] != given.bits).any(axis=0)
        new = np.flatnonzero(is_new)
        if len(new) == len(places):
            return given.texts(new), new
        texts = list(map(self._texts.__getitem__, places.tolist()))
        for row, text in zip(new.tolist(), given.texts(new) if len(new) else (), strict=True):
            texts[row] = text
        return texts, new

    def remember(self, given: _GivenRows, texts: Sequence[str], rows: _Numbers) -> None:
        """Remember rows of a frame. A row replaces another one of the same time."""
        first, end = len(self._texts), len(self._texts) + len(rows)
        if end > self._bits.shape[1]:
            wider = np.empty((len(self._bits), max(end, 2 * self._bits.shape[1])), np.int64)
            wider[:, :first] = self._bits[:, :first]
            self._bits = wider
        self._bits[:, first:end] = given.bits[:, rows]
        self._texts += [texts[row] for row in rows]
        self._rows.update(zip(given.times[rows].tolist(), range(first, end), strict=True))

    def digest(self, text: str) -> str:
        """Return what identifies a row in the record."""
        return _digest(f'{self._prefix},"values":{text}}}')


class _Row(NamedTuple):
    """A row of the record."""

    context: dict[str, str]
    text: str
    observed: str
    sequence: int

    def fields(self, key: str) -> dict[str, Any]:
        """Return the row as Lumibot keeps it."""
        time, *values = json.loads(self.text)
        names = json.loads(self.context["columns"])
        about = {"rowSha256": key, "barTime": time, "firstObservedAt": self.observed, "observedSequence": self.sequence}
        return {**self.context, **about, **dict(zip(names, values, strict=True))}


class _Rows(MutableMapping[str, Any]):
    """The rows of a record by digest. A dictionary for each of 50,000 rows takes much memory, so they are made late."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self._rows: dict[str, Any] = dict(rows)

    def __getitem__(self, key: str) -> Any:
        row = self._rows[key]
        return row.fields(key) if isinstance(row, _Row) else row

    def __setitem__(self, key: str, row: Any) -> None:
        self._rows[key] = row

    def __delitem__(self, key: str) -> None:
        del self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _time(text: str) -> str:
    return text[2 : text.index('"', 2)]


def _number(value: float) -> str:
    """Return a float or an integer as Lumibot's JSON has it."""
    if isfinite(value):
        return repr(value)
    return "null" if isnan(value) else f'"{value}"'
