"""Lumibot's record of the frames that a strategy received, with the text and the digest of each row made once.

Lumibot writes the record to three files at the end of a backtest. A strategy receives nearly the same rows again and
again, and Lumibot's recorder looks at each of their values every time. Here rows are found by their times and compared
bit by bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from hashlib import sha256
from math import isfinite, isnan
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from lumibot_duckdb.lumibot_contract.frame_record_hooks import (
    MARKET_COLUMNS,
    MarketInputEvidence,
    encoded,
    series_name,
    write_rows_of,
)
from lumibot_duckdb.lumibot_contract.pandas_blocks import column_values, columns_in_one_array
from lumibot_duckdb.sources.shared.frame_record_file import RowText, write_rows
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND

_ROW_LIMIT = "row_limit"
_ABOUT = ("rowSha256", "barTime", "firstObservedAt", "observedSequence")
"""What Lumibot notes of each row besides its values."""
_RECORDED = frozenset(("<f8", "<i8"))
"""The dtypes whose values are compared bit by bit."""
_Bits: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
_Chosen: TypeAlias = "np.ndarray[Any, np.dtype[np.intp]] | slice"
"""Some rows: their numbers, or where they begin."""


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
        write_rows_of(cls, cls._has_texts, cls._write_rows)
        record.seen = _Seen(record.seen)
        record._series = {}
        record._remembered = 0
        return record

    def record(self, *, asset: Any, timestep: Any, when: datetime, frame: Any, purpose: str, quote: Any = None) -> None:
        """Record a frame that a strategy received at the time `when` of the backtest. Thread-safe."""
        with self.lock:
            given = _GivenRows.of(frame) if len(self.observations) < self.max_observations else None
            if given is None or len(given.times) > self.max_rows:
                super().record(asset=asset, timestep=timestep, when=when, frame=frame, purpose=purpose, quote=quote)
                return
            columns, timestep = _in_json(given.columns), str(timestep)
            series = self._series_of(
                {"asset": series_name(asset, quote), "timestep": timestep, "columns": columns}, given
            )
            texts, new = series.texts(given)
            new_texts = texts[new] if isinstance(new, slice) else [texts[row] for row in new.tolist()]
            observation = _Observation(
                series,
                purpose,
                when.isoformat(),
                _digest(f'{{"columns":{columns},"rows":[{",".join(texts)}]}}'),
                len(texts),
                _time(texts[0]),
                _time(texts[-1]),
            )
            key = observation.in_json()
            if key in self.seen:
                return
            self._add_rows(series, new_texts, observation.observed)
            self.seen.add(key)
            self.observations.append(observation.fields(len(self.observations)))
            if len(self.observations) >= self.max_observations:
                self._series.clear()  # no further frame is compared with their rows
                return
            if self._remembered + len(new_texts) > self.max_rows:
                self._forget()
            if self._remembered + len(new_texts) <= self.max_rows:
                series.remember(given.cells[:, new], new_texts)
                self._remembered += len(new_texts)

    def _has_texts(self) -> bool:
        """Return whether there are rows, all of which are texts."""
        return isinstance(self.rows, _Rows) and self.rows.are_texts()

    def _write_rows(self, path: Path) -> dict[str, Any]:
        """Write the rows to a file; return what Lumibot's manifest says of it."""
        return write_rows(path, self.rows.texts, _ABOUT)

    def _forget(self) -> None:
        """Forget the older half of the longest series, unless all are so short that this would be done too often."""
        longest = max(self._series.values(), key=len)
        if len(longest) > self.max_rows // 50:
            self._remembered -= longest.forget_older_half()

    def _series_of(self, context: dict[str, str], given: _GivenRows) -> _Series:
        key = (*context.values(), *given.kind)
        if key not in self._series:
            self._series[key] = _Series(context, len(given.columns))
        return self._series[key]

    def _add_rows(self, series: _Series, texts: Sequence[str], observed: str) -> None:
        """Add rows to the record, unless it has them. Rows that a series remembers were added, or are too many."""
        held = self.rows.held
        if len(held) >= self.max_rows and _ROW_LIMIT in self.incomplete:
            return
        origin = _Origin(series.context, observed, len(self.observations))
        for text in texts:
            key = series.digest(text)
            if key in held:
                continue
            if len(held) >= self.max_rows:
                self.incomplete.add(_ROW_LIMIT)
                return
            held[key] = (text, origin)


class _GivenRows(NamedTuple):
    """The recorded columns of a frame."""

    columns: tuple[str, ...]
    times: pd.DatetimeIndex
    cells: _Bits
    """The times, and the values of each column bit by bit: a row for each of them."""
    kind: tuple[str, ...]
    """What the text of a row depends on besides its time and bits: dtypes, time zone and unit of the time."""

    @classmethod
    def of(cls, frame: Any) -> _GivenRows | None:
        """Return the rows of a frame; None if it has none, or other values than floats and integers of 64 bits."""
        index = getattr(frame, "index", None)
        if not isinstance(index, pd.DatetimeIndex) or not len(index):
            return None
        columns, places = _market_columns((*frame.columns,))
        if not columns:
            return None
        cells = np.empty((1 + len(places), len(index)), np.int64)
        block = columns_in_one_array(frame)
        dtypes = _copy_columns(frame, places, cells) if block is None else _copy_block(block, places, cells)
        if not _RECORDED.issuperset(dtypes):
            return None
        cells[0] = times = index.asi8
        if times[0] == pd.NaT.value or not (times[1:] > times[:-1]).all():
            return None
        return cls(columns, index, cells, (*dtypes, str(index.tz), index.unit))

    def texts(self, rows: _Chosen) -> list[str]:
        """Return rows as Lumibot's JSON: the time, and the value of each column."""
        cells = self.cells[:, rows]
        dtypes = self.kind[: len(self.columns)]
        if len(set(dtypes)) == 1:
            values = cells[1:].view(dtypes[0]).T.tolist()
        else:
            columns = (bits.view(dtype).tolist() for bits, dtype in zip(cells[1:], dtypes, strict=True))
            values = list(zip(*columns, strict=True))
        # pandas takes as long to select a few rows as to return ten, one by one.
        times = _iso_texts(self.times[rows]) if cells.shape[1] > 10 else self._few_times(rows, cells[0])
        return [f'["{time}",{row}]' for time, row in zip(times, _rows_in_json(values), strict=True)]

    def _few_times(self, rows: _Chosen, times: _Bits) -> Iterator[str]:
        if self.times.unit != "ns":
            return _one_by_one(self.times[rows])
        zone = self.times.tz
        return _one_by_one(pd.Timestamp(time, tz=zone) for time in times.tolist())


def _copy_block(block: np.ndarray[Any, Any], places: list[int], cells: _Bits) -> list[str]:
    """Copy rows of an array bit by bit; return their dtypes."""
    dtype = block.dtype
    if dtype.str in _RECORDED:
        block.take(places, axis=0, out=cells[1:].view(dtype), mode="clip")
    return [dtype.str] * len(places)


def _copy_columns(frame: pd.DataFrame, places: list[int], cells: _Bits) -> list[str]:
    """Copy columns of a frame bit by bit, unless one is of another dtype than those recorded; return the dtypes."""
    columns = [column_values(frame, place) for place in places]
    dtypes = [column.dtype.str if isinstance(column, np.ndarray) else "" for column in columns]
    if _RECORDED.issuperset(dtypes):
        for row, column in enumerate(columns, 1):
            cells[row] = column.view(np.int64)
    return dtypes


class _Series:
    """The rows of one series that are remembered."""

    def __init__(self, context: dict[str, str], columns: int) -> None:
        self.context = context
        self._prefix = encoded(context)[:-1]
        self._places: dict[int, int] = {}
        self._latest = pd.NaT.value
        self._texts: list[str] = []
        self._cells = np.empty((1 + columns, 64), np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self, given: _GivenRows) -> tuple[list[str], _Chosen]:
        """Return the texts of all rows, and which rows are not remembered."""
        rows = given.cells.shape[1]
        first = self._places.get(int(given.cells[0, 0]), len(self._texts))
        run = min(rows, len(self._texts) - first)
        # Most frames are the last one, or its end and newer rows.
        if (
            run
            and (run == rows or given.cells[0, run] > self._latest)
            and self._cells[:, first : first + run].tobytes() == given.cells[:, :run].tobytes()
        ):
            new = slice(run, None)
            return self._texts[first : first + run] + (given.texts(new) if run < rows else []), new
        if given.cells[0, 0] > self._latest:
            return given.texts(slice(None)), slice(None)
        return self._texts_one_by_one(given)

    def _texts_one_by_one(self, given: _GivenRows) -> tuple[list[str], _Chosen]:
        unknown = len(self._texts)
        places = np.array([self._places.get(time, unknown) for time in given.cells[0].tolist()])
        is_new = places == unknown
        if unknown:
            places[is_new] = 0
            is_new |= (self._cells[1:, places] != given.cells[1:]).any(axis=0)
        new = np.flatnonzero(is_new)
        texts = list(map(self._texts.__getitem__, places.tolist()))
        for row, text in zip(new.tolist(), given.texts(new) if len(new) else (), strict=True):
            texts[row] = text
        return texts, new

    def remember(self, cells: _Bits, texts: Sequence[str]) -> None:
        """Remember rows. A row replaces another one of the same time."""
        if not texts:
            return
        first, end = len(self._texts), len(self._texts) + len(texts)
        if end > self._cells.shape[1]:
            wider = np.empty((len(self._cells), max(end, 2 * self._cells.shape[1])), np.int64)
            wider[:, :first] = self._cells[:, :first]
            self._cells = wider
        self._cells[:, first:end] = cells
        self._texts += texts
        times = cells[0].tolist()
        self._places.update(zip(times, range(first, end), strict=True))
        self._latest = max(self._latest, times[-1])

    def forget_older_half(self) -> int:
        """Forget the rows that were remembered first, half of all; return how many."""
        gone = len(self) // 2
        del self._texts[:gone]
        self._cells = self._cells[:, gone:].copy()
        self._places = {time: place - gone for time, place in self._places.items() if place >= gone}
        return gone

    def digest(self, text: str) -> str:
        """Return what identifies a row in the record."""
        return _digest(f'{self._prefix},"values":{text}}}')


class _Observation(NamedTuple):
    """A frame of the record."""

    series: _Series
    purpose: str
    observed: str
    digest: str
    rows: int
    start: str
    end: str

    def fields(self, sequence: int) -> dict[str, Any]:
        """Return the frame as Lumibot keeps it."""
        return {
            **self.series.context,
            "purpose": self.purpose,
            "observedAt": self.observed,
            "frameSha256": self.digest,
            "returnedRows": self.rows,
            "windowStart": self.start,
            "windowEnd": self.end,
            "sequence": sequence,
        }

    def in_json(self) -> str:
        """Return the frame, without its number, as `encoded` would, in a third of the time."""
        context = self.series.context
        return (
            f'{{"asset":{_in_json(context["asset"])},"columns":{_in_json(context["columns"])},'
            f'"frameSha256":"{self.digest}","observedAt":"{self.observed}","purpose":{_in_json(self.purpose)},'
            f'"returnedRows":{self.rows},"timestep":{_in_json(context["timestep"])},'
            f'"windowEnd":"{self.end}","windowStart":"{self.start}"}}'
        )


class _Origin(NamedTuple):
    """The frame in which rows of the record were seen first."""

    context: dict[str, str]
    observed: str
    sequence: int

    def fields(self, key: str, text: str) -> dict[str, Any]:
        """Return a row as Lumibot keeps it."""
        time, *values = json.loads(text)
        about = zip(_ABOUT, (key, time, self.observed, self.sequence), strict=True)
        return {**self.context, **dict(about), **dict(zip(_names(self.context["columns"]), values, strict=True))}

    def as_texts(self, key: str, text: str) -> RowText:
        """Return the same as texts."""
        time = _time(text)
        values = text[len(time) + len('["",') : -1].split(",")
        names = _names(self.context["columns"])
        return RowText(self.context, (key, time, self.observed, str(self.sequence)), names, values)


class _Rows(MutableMapping[str, Any]):
    """The rows of a record by digest. A dictionary for each of 50,000 rows takes much memory, so they are made late."""

    def __init__(self, rows: dict[str, Any]) -> None:
        self.held: dict[str, Any] = dict(rows)
        """Our rows as their texts and origins, and others as Lumibot keeps them."""

    def __getitem__(self, key: str) -> Any:
        row = self.held[key]
        if not isinstance(row, tuple):
            return row
        text, origin = row
        return origin.fields(key, text)

    def __setitem__(self, key: str, row: Any) -> None:
        self.held[key] = row

    def __delitem__(self, key: str) -> None:
        del self.held[key]

    def are_texts(self) -> bool:
        """Return whether there are rows, all of which can be read as texts."""
        return bool(self.held) and all(isinstance(row, tuple) for row in self.held.values())

    def texts(self) -> Iterator[RowText]:
        """Yield the rows as texts."""
        return (origin.as_texts(key, text) for key, (text, origin) in self.held.items())

    def __contains__(self, key: object) -> bool:
        return key in self.held

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


class _Seen:
    """A set of texts that keeps only their digests: the texts of 4,096 frames take 2 MB."""

    def __init__(self, texts: set[str]) -> None:
        self._digests = set(map(_short_digest, texts))

    def __contains__(self, text: str) -> bool:
        return _short_digest(text) in self._digests

    def add(self, text: str) -> None:
        self._digests.add(_short_digest(text))


_IN_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@lru_cache(maxsize=1_024)
def _in_json(value: str | tuple[str, ...]) -> str:
    return encoded(value)


@lru_cache(maxsize=1_024)
def _market_columns(names: tuple[Any, ...]) -> tuple[tuple[str, ...], list[int]]:
    """Return the recorded ones among the columns of a frame, and their places; none if a name occurs twice."""
    places = [place for place, name in enumerate(names) if name in MARKET_COLUMNS]
    return (tuple(names[place] for place in places), places) if len(set(names)) == len(names) else ((), [])


@lru_cache(maxsize=1_024)
def _names(columns: str) -> tuple[str, ...]:
    return tuple(json.loads(columns))


def _short_digest(text: str) -> bytes:
    return sha256(text.encode()).digest()[:16]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _iso_texts(times: pd.DatetimeIndex) -> Iterable[str]:
    """Return what `isoformat` returns for each time; if all are whole seconds, in a tenth of the time."""
    ticks = TICKS_PER_SECOND[times.unit]
    local = times.asi8 if times.tz is None else times.tz_localize(None).asi8
    seconds, fractions = np.divmod(local, ticks)
    if fractions.any():
        return _one_by_one(times)
    texts: list[str] = np.datetime_as_string(seconds.view("M8[s]")).tolist()
    if times.tz is None:
        return texts
    offsets = ((local - times.asi8) // ticks).tolist()
    suffixes = {offset: _offset_text(offset) for offset in set(offsets)}
    return [text + suffixes[offset] for text, offset in zip(texts, offsets, strict=True)]


def _offset_text(seconds: int) -> str:
    return datetime.fromtimestamp(0, timezone(timedelta(seconds=seconds))).isoformat()[len("1970-01-01T00:00:00") :]


def _one_by_one(times: Iterable[pd.Timestamp]) -> Iterator[str]:
    return (time.isoformat() for time in times)


def _time(text: str) -> str:
    return text[2 : text.index('"', 2)]


def _rows_in_json(rows: Sequence[Sequence[float]]) -> Iterable[str]:
    """Return the numbers of each row as Lumibot's JSON, separated by commas."""
    text = _IN_JSON(rows)
    if "N" in text or "I" in text:  # NaN and Infinity, which Lumibot writes in another way
        return (",".join(map(_number, row)) for row in rows)
    return text[2:-2].split("],[")


def _number(value: float) -> str:
    """Return a float or an integer as Lumibot's JSON has it."""
    if isfinite(value):
        return repr(value)
    return "null" if isnan(value) else f'"{value}"'
