"""Files with every answer that a strategy received, in full and in order: written by a backtest, read to compare.

The stream is compressed, because most answers repeat most of the previous one. Long frames (thousands of rows) are cut
into parts at fixed times, and a part that has been written before is replaced by a reference to it.
"""

from __future__ import annotations

import json
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

_LENGTHS = struct.Struct("<II")
_PART = struct.Struct("<BI")
_INLINE, _REFERENCE = 0, 1
_LONG_PART = 16_384
"""Size in bytes from which parts that repeat are replaced by references."""
_ROWS_PER_PART = 2_048
_MAX_ROWS_UNCUT = 4_096
VALUE = "value"
"""The `kind` of an answer that is not a frame; its only part is text."""


@dataclass(frozen=True)
class Answer:
    """An answer that a strategy received: the time of the backtest, the call, the asset and the value.

    `kind` is `VALUE`, or JSON with the dtypes of a frame's index and columns. `parts` hold the values.
    """

    when: str
    call: str
    asset: str
    kind: str
    parts: Sequence[bytes]

    @property
    def is_frame(self) -> bool:
        """Whether this is a frame of bars."""
        return self.kind != VALUE

    @property
    def text(self) -> str:
        """The value of an answer that is not a frame."""
        return b"".join(self.parts).decode()


def value_answer(when: str, call: str, asset: str, text: str) -> Answer:
    """Return the answer for a value, given as a text that is equal only for equal values."""
    return Answer(when, call, asset, VALUE, (text.encode(),))


def frame_answer(when: str, call: str, asset: str, frame: pd.DataFrame, of: str = "frame") -> Answer:
    """Return the answer for a frame, with the exact bits of its values, its dtypes and its index.

    `of` is the text of the object that holds the frame, such as bars with their asset, if it is not a frame itself.
    """
    index = frame.index
    timed = isinstance(index, pd.DatetimeIndex)
    name = index.name if index.nlevels == 1 else _text(list(index.names))
    about = [_dtype(index), str(name), str(index.freqstr) if isinstance(index, pd.DatetimeIndex) else ""]
    columns: list[tuple[str, str]] = []
    arrays = [index.asi8 if isinstance(index, pd.DatetimeIndex) else index.to_numpy()]
    for name, series in frame.items():
        columns.append((name if isinstance(name, str) else f"{type(name).__name__} {name}", _dtype(series)))
        arrays.append(series.to_numpy())
    cuts = _cuts(arrays[0]) if timed and len(frame) > _MAX_ROWS_UNCUT else [0, len(frame)]
    parts = [_packed([array[a:b] for array in arrays]) for a, b in pairwise(cuts)]
    return Answer(when, call, asset, json.dumps({"index": about, "columns": columns, "of": of}), parts)


def _dtype(array: Any) -> str:
    if isinstance(array.dtype, pd.CategoricalDtype):
        return f"{array.dtype} of {_text(array.dtype.categories)}, ordered {array.dtype.ordered}"
    return str(array.dtype)


def _cuts(times: np.ndarray[Any, Any]) -> list[int]:
    """Return the rows to cut at, so that the same bars are in the same parts wherever a frame starts and ends."""
    spacing = max(int(times[-1] - times[0]) // len(times), 1) * _ROWS_PER_PART
    bucket = times >> (spacing.bit_length() - 1)
    return [0, *(np.flatnonzero(np.diff(bucket)) + 1).tolist(), len(times)]


def _packed(arrays: Sequence[np.ndarray[Any, Any]]) -> bytes:
    packed = []
    for array in arrays:
        if array.dtype.hasobject:
            data, dtype = json.dumps(list(map(_object_text, array.tolist()))).encode(), b"texts"
        else:
            data, dtype = array.tobytes(), array.dtype.str.encode()
        packed += [_LENGTHS.pack(len(dtype), len(data)), dtype, data]
    return b"".join(packed)


def _object_text(value: Any) -> str:
    """Return the `repr` of a plain value; that of other objects may be shortened or have an address in it."""
    return repr(value) if isinstance(value, str | int | float | datetime | None) else _text(value)


def _text(value: Any) -> str:
    from lumibot_duckdb.comparison.value_text import as_text  # late, because reading answers must not import Lumibot

    return as_text(value)


def _unpacked(part: bytes) -> list[np.ndarray[Any, Any]]:
    arrays, at = [], 0
    while at < len(part):
        about, size = _LENGTHS.unpack_from(part, at)
        at += _LENGTHS.size
        dtype, data = part[at : at + about].decode(), part[at + about : at + about + size]
        at += about + size
        texts = dtype == "texts"
        arrays.append(np.array(json.loads(data), dtype=object) if texts else np.frombuffer(data, dtype))
    return arrays


@dataclass(frozen=True)
class Frame:
    """A frame that was read from a file. `stamps` is its index; times are integers in the index's unit.

    `of` is the text of the object that holds the frame. Columns with the same name are numbered.
    """

    of: str
    dtypes: dict[str, str]
    stamps: np.ndarray[Any, Any]
    columns: dict[str, np.ndarray[Any, Any]]

    def bar(self, row: int) -> str:
        """Return the time of a row in the frame's time zone."""
        dtype, stamp = self.dtypes[INDEX].partition("]")[0], self.stamps[row : row + 1]
        if not dtype.startswith("datetime64["):
            return str(stamp[0])
        unit, _, zone = dtype.removeprefix("datetime64[").partition(", ")
        times = pd.DatetimeIndex(stamp.astype(f"datetime64[{unit}]"))
        return str((times.tz_localize("UTC").tz_convert(zone) if zone else times)[0])

    def value(self, name: str, row: int) -> str:
        """Return the `repr` of a value."""
        return repr(self.columns[name][row : row + 1].tolist()[0])


INDEX = "the index"


def read_frame(answer: Answer) -> Frame:
    """Return the frame of an answer with `is_frame`."""
    about = json.loads(answer.kind)
    parts = [_unpacked(part) for part in answer.parts]
    stamps, *columns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    names = _numbered([name for name, _ in about["columns"]])
    dtypes = dict(zip(names, (dtype for _, dtype in about["columns"]), strict=True))
    return Frame(
        about["of"], {INDEX: " ".join(about["index"]), **dtypes}, stamps, dict(zip(names, columns, strict=True))
    )


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered


class AnswersWriter:
    """Writes answers to a new file."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._stream = pa.CompressedOutputStream(self._file, "zstd")
        self._seen: set[bytes] = set()

    def write(self, answer: Answer) -> None:
        """Add an answer."""
        head = json.dumps([answer.when, answer.call, answer.asset, answer.kind]).encode()
        written = [_LENGTHS.pack(len(head), len(answer.parts)), head]
        for part in answer.parts:
            mark = _digest(part) if len(part) >= _LONG_PART else None
            if mark is not None and mark in self._seen:
                written += [_PART.pack(_REFERENCE, len(mark)), mark]
                continue
            if mark is not None:
                self._seen.add(mark)
            written += [_PART.pack(_INLINE, len(part)), part]
        self._stream.write(b"".join(written))

    def close(self) -> None:
        """Finish the file."""
        self._stream.close()

    def detach(self) -> None:
        """Discard everything written from now on, in a forked process, which shares the open file with its parent."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._file.fileno(), inheritable=False)
        os.close(nowhere)


class Mark(bytes):
    """The digest that stands for a long part of an answer; equal for equal parts."""


def read_answers(path: Path) -> Iterator[Answer]:
    """Read the answers of a file, in order. Long parts are replaced by a `Mark`; see `complete`."""
    for answer, parts in _read(path):
        marked = [part if isinstance(part, Mark) else _marked(part) for part in parts]
        yield replace(answer, parts=marked)


def complete(answer: Answer, path: Path) -> Answer:
    """Return an answer that was read from a file, with its marks replaced by the long parts."""
    wanted = {part for part in answer.parts if isinstance(part, Mark)}
    found: dict[bytes, bytes] = {}
    for _, parts in _read(path):
        if len(found) == len(wanted):
            break
        found |= {mark: part for part in parts if (mark := _marked(part)) in wanted and not isinstance(part, Mark)}
    return replace(answer, parts=[found.get(part, part) for part in answer.parts])


def _marked(part: bytes) -> bytes:
    return Mark(_digest(part)) if len(part) >= _LONG_PART else part


def _digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16).digest()


def _read(path: Path) -> Iterator[tuple[Answer, list[bytes]]]:
    """Read answers without their parts, and the parts, or a `Mark` for a part that was written before."""
    with pa.OSFile(str(path), "rb") as file, pa.CompressedInputStream(file, "zstd") as stream:
        while lengths := stream.read(_LENGTHS.size):
            head_length, count = _LENGTHS.unpack(lengths)
            when, call, asset, kind = json.loads(stream.read(head_length))
            parts: list[bytes] = []
            for _ in range(count):
                flag, length = _PART.unpack(stream.read(_PART.size))
                part = stream.read(length)
                parts.append(Mark(part) if flag == _REFERENCE else part)
            yield Answer(when, call, asset, kind, ()), parts
