"""The manifest of an export: what the files in its folder are, exactly enough to restore every series.

It is a file of JSON lines. The first line describes the export, each further one a file, and the last one states how
many files there are. So it is written, and read, one file at a time. It is written last: a folder without a manifest
is not an export.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lumibot_duckdb.storage.api import AssetKey, CorporateAction, KnownActions, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import Covered
from lumibot_duckdb.storage.bars.input_checks import is_storable_dtype
from lumibot_duckdb.storage.bars.layout import PRICES_AND_VOLUME, ColumnLayout, Kind, Layout
from lumibot_duckdb.storage.errors import InvalidExportError
from lumibot_duckdb.storage.identity import key_to_write, refuse_unstorable
from lumibot_duckdb.storage.reference.corporate_actions import in_order, refuse_unusable
from lumibot_duckdb.storage.reference.labels import LabelValues, written_label
from lumibot_duckdb.storage.timeframes import TICKS_PER_SECOND
from lumibot_duckdb.storage.times import UTC, parse_moment

NAME = "export.jsonl"
VERSION = 1

# A line has a few hundred bytes, and some ten for each write and each change between writes.
_LONGEST_LINE = 256 * 2**20
_MOST_FILES = 2_000_000
_MISSING = ("", "None", "nan", "NA")
_KINDS = ("bars", "coverage")


@dataclass(frozen=True, slots=True)
class ExportedWrite:
    """A write that stored exported bars, or recorded coverage alone: when it was requested (UTC), and its metadata."""

    asked_at: datetime
    kind: str
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ExportedSeries:
    """A series, in everything but its bars.

    Columns of `layout` name none of `bar`. `runs` are, in the order of the bars, the number of a write and of how many
    bars in a row it stored. `coverage` has expired ranges, too. `actions` are the splits and dividends of the stock, by
    kind, that the source had when it was last queried: adjusted prices are adjusted for these. `labels` are those of
    the asset.
    """

    key: SeriesKey
    layout: Layout
    coverage: tuple[Covered, ...]
    writes: tuple[ExportedWrite, ...]
    runs: tuple[tuple[int, int], ...]
    actions: Mapping[str, KnownActions]
    labels: Mapping[str, LabelValues]

    @property
    def bars(self) -> int:
        """The number of bars."""
        return sum(count for _, count in self.runs)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export, by its path in the folder. `series` is None for the result of a query."""

    path: str
    bytes: int
    sha256: str
    rows: int
    series: ExportedSeries | None


class ManifestWriter:
    """Writes a manifest line by line."""

    def __init__(self, file: IO[bytes], file_format: str) -> None:
        self._file = file
        self._files = 0
        self._write({"lumibot_duckdb_export": VERSION, "format": file_format})

    def add(self, exported: ExportedFile) -> None:
        """Add a file."""
        line = {
            "file": exported.path,
            "bytes": exported.bytes,
            "sha256": exported.sha256,
            "rows": exported.rows,
            "series": None if exported.series is None else _series_as_json(exported.series),
        }
        self._write(line)
        self._files += 1

    def end(self) -> None:
        """Write the last line."""
        self._write({"files": self._files})

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), allow_nan=False).encode()
        if len(text) >= _LONGEST_LINE:
            raise InvalidExportError(
                f"the record of {line.get('file')} would be too long, since its bars were stored by so many writes in "
                "turn; export a shorter range"
            )
        self._file.write(text + b"\n")


class Manifest:
    """The manifest of a folder, which knows its files, and where in it each is described.

    Raises `InvalidExportError` if it is not a complete manifest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path.parent
        self._places: dict[str, int] = {}
        lines = _lines(path)
        try:
            _check_version(next(lines)[1])
            ended: object = None
            for place, line in lines:
                if ended is not None:
                    raise ValueError("there are lines after its last one")
                ended = line.get("files")
                if ended is None:
                    self._places[_checked_path(line["file"])] = place
                if len(self._places) > _MOST_FILES:
                    raise ValueError("it has too many lines")
            if ended != len(self._places):
                raise ValueError("its end is missing")
        except (StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidExportError(f"{path} is damaged ({_reason(error)}); export again") from None

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files, relative to the folder."""
        return tuple(self._places)

    def described(self, file: str) -> ExportedFile | None:
        """Return what a file is, by its path in the folder; None if it is not one of the export."""
        if file not in self._places:
            return None
        try:
            line = next(_lines(self._path, self._places[file]))[1]
            series = None if line["series"] is None else _series_of(line["series"])
            found = ExportedFile(
                _checked_path(line["file"]),
                _count(line["bytes"]),
                _text(line["sha256"]),
                _count(line["rows"]),
                series,
            )
            if found.path != file or (series is not None and series.bars != found.rows):
                raise ValueError("the numbers of its bars differ")
        except (StopIteration, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidExportError(f"{self._path} is damaged at {file} ({_reason(error)}); export again") from None
        return found


def manifest_in(folder: Path) -> Manifest | None:
    """Return the manifest of a folder; None if it has none. Raises `InvalidExportError` if it is damaged."""
    path = folder / NAME
    try:
        state = path.stat()
    except OSError:
        return None
    if not path.is_file() or not _is_ours(path):
        return None
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int, size: int) -> Manifest:
    return Manifest(path)


def _is_ours(path: Path) -> bool:
    """Return whether a file of that name is a manifest: other programs may write one."""
    try:
        with path.open("rb") as file:
            return file.read(24) == b'{"lumibot_duckdb_export"'
    except OSError:
        return False


def _lines(path: Path, place: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield the lines of a manifest from a place on, each with its place. Raises ValueError for a damaged one."""
    with path.open("rb") as file:
        file.seek(place)
        while line := file.readline(_LONGEST_LINE + 1):
            if not line.endswith(b"\n"):
                raise ValueError("its end is missing")
            yield place, json.loads(line)
            place = file.tell()


def _check_version(line: Mapping[str, Any]) -> None:
    version = line["lumibot_duckdb_export"]
    if version != VERSION:
        raise ValueError(f"it has version {version}, and this release knows {VERSION}: upgrade the package")


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return str(error).partition("\n")[0] or "its end is missing"


# -- series ------------------------------------------------------------------------------------------------------


def _series_as_json(series: ExportedSeries) -> dict[str, Any]:
    return {
        **key_fields(series.key),
        **layout_fields(series.layout),
        "coverage": [
            [piece.start, piece.end, None if until is None else until.isoformat()] for piece, until in series.coverage
        ],
        "writes": [[write.asked_at.isoformat(), write.kind, write.metadata or None] for write in series.writes],
        "runs": series.runs,
        "actions": {kind: _actions_as_json(known) for kind, known in series.actions.items()},
        "labels": {name: [known.set_at.isoformat(), known.values] for name, known in series.labels.items()},
    }


def _actions_as_json(known: KnownActions) -> list[Any]:
    actions = [[each.ex_date.isoformat(), each.split_from, each.split_to, each.amount] for each in known.actions]
    return [known.checked_at.isoformat(), actions]


def key_fields(key: SeriesKey) -> dict[str, Any]:
    """Return the identity of a series, for JSON."""
    asset = asdict(key.asset)
    if key.asset.expiration is not None:
        asset["expiration"] = key.asset.expiration.isoformat()
    return {"asset": asset, "source": key.source, "timeframe": key.timeframe, "adjustment": key.adjustment}


def layout_fields(layout: Layout) -> dict[str, Any]:
    """Return the columns of a series, for JSON."""
    return {
        "index_unit": layout.index_unit,
        "columns": [
            {
                "name": column.name,
                "dtype": column.dtype,
                "missing": column.missing,
                "has_nulls": column.has_nulls,
                "mixed": column.mixed,
                "is_empty": column.physical is None,
                "has_bits": column.bits is not None,
            }
            for column in layout.columns
        ],
    }


def _series_of(line: Mapping[str, Any]) -> ExportedSeries:
    """Return the series of a line. Nothing in it is trusted: it may have been changed."""
    key = _key_of(line)
    writes = tuple(_write_of(*each) for each in line["writes"])
    return ExportedSeries(
        key,
        _layout_of(line["index_unit"], line["columns"]),
        tuple(_covered_of(*each) for each in line["coverage"]),
        writes,
        tuple(_run_of(len(writes), *each) for each in line["runs"]),
        {kind: _actions_of(key.asset, kind, *known) for kind, known in line["actions"].items()},
        {
            name: _label_of(name, *known) for name, known in line.get("labels", {}).items()
        },  # earlier releases export none
    )


def _key_of(line: Mapping[str, Any]) -> SeriesKey:
    fields = line["asset"]
    asset = AssetKey(
        _text(fields["symbol"]),
        _text(fields["asset_type"]),
        _text_or_none(fields["quote"]),
        _text(fields["exchange"]),
        None if fields["expiration"] is None else date.fromisoformat(fields["expiration"]),
        None if fields["strike"] is None else float(fields["strike"]),
        _text_or_none(fields["right"]),
        float(fields["multiplier"]),
        _text_or_none(fields["auto_expiry"]),
    )
    key = SeriesKey(asset, _text(line["source"]), _text(line["timeframe"]), _text(line["adjustment"]))
    if key_to_write(asset, key.source, key.timeframe, key.adjustment) != key:
        raise ValueError("its series is not one that the store can have")
    return key


def _layout_of(unit: str, fields: Sequence[Mapping[str, Any]]) -> Layout:
    if unit not in TICKS_PER_SECOND:
        raise ValueError(f"{unit!r} is not a unit of time")
    columns = tuple(
        ColumnLayout(
            name=_column_name(each["name"]),
            dtype=_dtype(each["dtype"]),
            physical=None if _truth(each["is_empty"]) else "",
            bits="" if _truth(each["has_bits"]) else None,
            missing=each["missing"],
            has_nulls=_truth(each["has_nulls"]),
            mixed=_truth(each["mixed"]),
        )
        for each in fields
    )
    for column in columns:
        if column.missing not in _MISSING or (column.physical is None and column.dtype != "object"):
            raise ValueError(f"its column {column.name!r} is described wrongly")
        if (column.mixed or column.bits is not None) and column.kind is not Kind.NUMBER:
            raise ValueError(f"its column {column.name!r} is described wrongly")
    if len({column.name for column in columns}) < len(columns):
        raise ValueError("two of its columns have the same name")
    return Layout(unit, columns)


def _column_name(name: object) -> str:
    text = _text(name)
    if not text or text == "datetime" or (text.lower() in PRICES_AND_VOLUME and text != text.lower()):
        raise ValueError(f"a column cannot be called {text!r}")
    return text


def _dtype(name: object) -> str:
    text = _text(name)
    if not is_storable_dtype(text):
        raise ValueError(f"the store has no columns of {text!r}")
    return text


def _covered_of(start: object, end: object, until: object) -> Covered:
    expires = None if until is None else parse_moment(_text(until)).astimezone(UTC)
    return TimeRange(_whole(start), _whole(end)), expires


def _write_of(asked_at: object, kind: object, metadata: object) -> ExportedWrite:
    if kind not in _KINDS or not isinstance(metadata, (dict, type(None))):
        raise ValueError("one of its writes is described wrongly")
    return ExportedWrite(parse_moment(_text(asked_at)).astimezone(UTC), str(kind), metadata)


def _run_of(writes: int, write: object, count: object) -> tuple[int, int]:
    if _count(write) >= writes or _count(count) == 0:
        raise ValueError("its bars are not those of its writes")
    return _count(write), _count(count)


def _actions_of(asset: AssetKey, kind: str, checked_at: object, rows: Sequence[Sequence[Any]]) -> KnownActions:
    checked = parse_moment(_text(checked_at)).astimezone(UTC)
    actions = [CorporateAction(date.fromisoformat(day), *numbers) for day, *numbers in rows]
    refuse_unusable(asset, actions, kind, checked)
    return KnownActions(checked, in_order(actions))


def _label_of(name: object, set_at: object, values: Sequence[object]) -> LabelValues:
    return written_label(name, values, parse_moment(_text(set_at)).astimezone(UTC))


def _text(value: object) -> str:
    refuse_unstorable(value)
    return str(value)


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**62:
        raise ValueError(f"{value!r:.40} is not a whole number")
    return value


def _count(value: object) -> int:
    number = _whole(value)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


def _checked_path(text: object) -> str:
    """Return a path that stays in the folder. Raises ValueError for any other."""
    path = PurePosixPath(_text(text))
    strange = "\\" in str(path) or "\0" in str(path) or (os.name == "nt" and ":" in str(path))
    if path.is_absolute() or not path.parts or ".." in path.parts or strange or str(path) != text:
        raise ValueError(f"{str(text)!r} is not a path in its folder")
    return str(path)
