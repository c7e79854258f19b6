"""Keeps what cannot be written to the results database in a file beside it, one JSON line for each batch.

The process that records a session holds a lock on its spool, so that others take over only what it left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from lumibot_duckdb.results.live_records import LIVE_TABLES, LiveBatch, LiveSessionRecord, SessionStatus

_INFIX = ".live-"
_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class SpooledSession:
    """What a spool has: the session, batches that may be stored already, and how it ended if that is known."""

    record: LiveSessionRecord
    batches: tuple[LiveBatch, ...]
    status: SessionStatus | None
    ended: datetime | None


class Spool:
    """The spool of a session beside its results database. There is no file while everything can be written."""

    def __init__(self, results: Path, session_id: str) -> None:
        self.path = results.with_name(f"{results.stem}{_INFIX}{session_id}{_SUFFIX}")
        self._file: int | None = None

    def append(self, record: LiveSessionRecord, batches: Iterable[LiveBatch]) -> None:
        """Add batches as whole lines. Raises OSError and leaves the file as it was if they cannot be written."""
        self._write(record, [_batch_line(batch) for batch in batches])

    def end(self, record: LiveSessionRecord, status: SessionStatus, ended: datetime) -> None:
        """Add how the session ended. Raises as `append`."""
        self._write(record, [{"status": status, "ended": ended.isoformat()}])

    def read(self) -> SpooledSession | None:
        """Return what the spool has; None without a file, or if it has no whole line."""
        try:
            return read_spool(self.path)
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Remove the file, once its contents are stored."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self.leave()

    def leave(self) -> None:
        """Leave the file to others, also to the next session of this process."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, record: LiveSessionRecord, lines: Iterable[dict[str, Any]]) -> None:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        size = os.fstat(self._file).st_size
        if size == 0:
            lines = [_record_line(record), *lines]
        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        try:
            written = os.write(self._file, content)
            if written < len(content):
                raise OSError(f"only {written:,} of {len(content):,} bytes could be written to {self.path}")
        except OSError:
            os.ftruncate(self._file, size)
            raise


@contextmanager
def abandoned_spools(results: Path) -> Iterator[list[Path]]:
    """Yield the spools beside a results database whose sessions have ended, locked for this process."""
    found: list[Path] = []
    opened: list[int] = []
    try:
        for path in sorted(results.parent.glob(f"{_escaped(results.stem)}{_INFIX}*{_SUFFIX}")):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            opened.append(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if path.exists():  # or another process has just stored it
                found.append(path)
        yield found
    finally:
        for file in opened:
            os.close(file)


def read_spool(path: Path) -> SpooledSession | None:
    """Return what a spool has; None if it has no whole line. A line that was not finished is left out.

    Raises ValueError, KeyError or TypeError if it was not written by this package.
    """
    *lines, _ = path.read_bytes().split(b"\n")
    if not lines:
        return None
    first, *rest = map(json.loads, lines)
    record = LiveSessionRecord(**{**first["session"], "started": datetime.fromisoformat(first["session"]["started"])})
    batches = tuple(_batch(line) for line in rest if "batch" in line)
    end: dict[str, Any] = next((line for line in rest if "status" in line), {})
    return SpooledSession(
        record, batches, end.get("status"), datetime.fromisoformat(end["ended"]) if "ended" in end else None
    )


def _record_line(record: LiveSessionRecord) -> dict[str, Any]:
    return {"session": {**asdict(record), "started": record.started.isoformat()}}


def _batch_line(batch: LiveBatch) -> dict[str, Any]:
    tables = {name: _plain(table).to_pydict() for name, table in batch.tables.items()}
    return {"batch": batch.number, "lost": batch.lost, "tables": tables}


def _batch(line: dict[str, Any]) -> LiveBatch:
    tables = {
        name: pa.table(
            [pa.array(columns[field.name], _plain_type(field.type)) for field in LIVE_TABLES[name]],
            LIVE_TABLES[name].names,
        ).cast(LIVE_TABLES[name])
        for name, columns in line["tables"].items()
    }
    return LiveBatch(line["batch"], tables, line["lost"])


def _plain(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([field.with_type(_plain_type(field.type)) for field in table.schema]))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column in JSON: moments are integers, in microseconds since 1970."""
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _escaped(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
