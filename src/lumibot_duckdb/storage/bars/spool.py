"""The spool: writes that could not be made in time, kept as files beside the store until a later write merges them.

Each file of `<store>.spool/` is one write: an Arrow IPC file with the bars in their stored form, and everything else
that the write needs in its metadata. Its name has the time (the oldest is merged first), the number of bars, and a
digest of the contents. It is written under another name and then renamed, so a file with such a name is complete.

A file is removed only after its transaction was committed. A crash in between does no harm: storing the same bars again
changes nothing. A merge does not change bars that were requested later, so the order of merges does not matter, and a
large download can wait for a better moment. A file that cannot be merged is quarantined: renamed to end in `.damaged`,
and never deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.write_request import BarsWrite, metadata_text
from lumibot_duckdb.storage.connection.lock import is_alive
from lumibot_duckdb.storage.errors import (
    HistoryRestatedError,
    InvalidBarsError,
    StorageError,
    StoreBusyError,
    StoreWriteError,
)
from lumibot_duckdb.storage.identity import asset_key, canonical_source
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import NANOSECONDS_PER_SECOND, EpochSeconds, parse_moment

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars

logger = logging.getLogger(__name__)

_SUFFIX = ".arrow"
_QUARANTINED = ".damaged"
_NAME = re.compile(r"(?P<kept>\d{20})-(?P<bars>\d+)-(?P<digest>[0-9a-f]{64})\.arrow")
_UNFINISHED = re.compile(r".*\.arrow\.(?P<pid>\d+)")
_WRITE = b"lumibot_duckdb_write"
_TIMES = "ts"

MOST_BARS = 100_000
"""How many bars a write merges in passing, which takes about a second."""
_BARS_PER_FILE = 1_000  # a small file takes as long as that many bars
_ARROW_TYPES = {"DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64(), "VARCHAR": pa.string()}


@dataclass(frozen=True, slots=True)
class SpooledWrite:
    """A write that was spooled. `store_id` is the store for which it was meant ("" if that is unknown)."""

    write: BarsWrite
    store_id: str


@dataclass(frozen=True, slots=True)
class SpoolContents:
    """The contents of a spool: writes that wait, the bars in them, and quarantined files."""

    writes: int = 0
    bars: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class WaitingWrite:
    """A file of the spool: its name, its number of bars, when it was kept, and its series (None: unreadable)."""

    name: str
    bars: int
    kept_at: EpochSeconds
    series: SeriesKey | None


class Spool:
    """The spool of the store at `store`. Any number of processes may add to it and merge it at once."""

    def __init__(self, store: Path) -> None:
        real = Path(os.path.realpath(store))
        self.folder = real.with_name(real.name + ".spool")

    def contents(self) -> SpoolContents:
        """Return what there is, from the names of the files."""
        names = self._names()
        waiting = [_bars_in(name) for name in names if _NAME.fullmatch(name)]
        return SpoolContents(len(waiting), sum(waiting), sum(name.endswith(_QUARANTINED) for name in names))

    def waiting(self) -> list[WaitingWrite]:
        """Return the writes that wait, oldest first. Of each file, only the description of the write is read."""
        return [
            WaitingWrite(name, int(found["bars"]), int(found["kept"]) // NANOSECONDS_PER_SECOND, _series_in(file))
            for name in self._names()
            if (found := _NAME.fullmatch(name)) and (file := self.folder / name)
        ]

    def sentences(self) -> list[str]:
        """Return what people should know about the contents; nothing if it is empty."""
        there = self.contents()
        found = []
        if there.writes:
            writes = "1 write" if there.writes == 1 else f"{there.writes:,} writes"
            found.append(
                f"{there.bars:,} bars of {writes} wait in {self.folder} for the next write to the store"
                + (
                    f" (more than {MOST_BARS:,}: for the next import, download or compaction)"
                    if there.bars > MOST_BARS
                    else ""
                )
            )
        if there.quarantined:
            files = "1 file" if there.quarantined == 1 else f"{there.quarantined:,} files"
            found.append(f"{files} in {self.folder} could not be merged (*{_QUARANTINED})")
        return found

    # -- keeping ---------------------------------------------------------------------------------------------

    def keep_after(
        self, failure: StoreBusyError | StoreWriteError, kept: SpooledWrite
    ) -> StoreBusyError | StoreWriteError:
        """Spool a write that failed; return the failure with a message about what happened to the bars.

        Raises `InvalidBarsError` for metadata that cannot be stored.
        """
        try:
            self.keep(kept)
        except OSError as error:
            return self._not_kept(failure, kept, error)
        when = "write to the store" if len(kept.write.bars) <= MOST_BARS else "download or compaction"
        return type(failure)(f"{_preface(failure, kept)} is kept in {self.folder}, and the next {when} merges it")

    def keep_instead(self, failure: StoreBusyError | StoreWriteError, kept: SpooledWrite) -> None:
        """Spool a write that could not be made; raise an error like `failure` if that fails, too."""
        try:
            self.keep(kept)
        except OSError as error:
            raise self._not_kept(failure, kept, error) from failure

    def _not_kept(
        self, failure: StoreBusyError | StoreWriteError, kept: SpooledWrite, error: OSError
    ) -> StoreBusyError | StoreWriteError:
        return type(failure)(
            f"{_preface(failure, kept)} could not be kept in {self.folder} either ({error.strerror or error}), so it "
            "is not in the store. Fix the cause and try again"
        )

    def keep(self, kept: SpooledWrite) -> Path:
        """Spool a write and return its file. Raises OSError, and leaves nothing then."""
        content = _content_of(kept)
        digest = hashlib.sha256(content).hexdigest()
        file = self.folder / f"{time.time_ns():020d}-{len(kept.write.bars)}-{digest}{_SUFFIX}"
        unfinished = file.with_name(f"{file.name}.{os.getpid()}")
        while True:
            self.folder.mkdir(exist_ok=True)
            try:
                with unfinished.open("wb") as written:
                    written.write(content)
                    written.flush()
                    os.fsync(written.fileno())
                unfinished.replace(file)
                return file
            except FileNotFoundError:
                continue  # another process has just merged everything, and removed the folder
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)
                raise

    # -- merging ---------------------------------------------------------------------------------------------

    def merge(
        self,
        write: Callable[[SpooledWrite, Path], bool],
        *,
        in_passing: bool = False,
        only: Callable[[SeriesKey], bool] | None = None,
    ) -> int:
        """Merge what waits, oldest first; return how many writes were merged.

        `write` writes one in its own transaction if its file is still there then, and returns whether it was.
        With `in_passing`, at most `MOST_BARS` are merged; else everything. `only` chooses among the series.
        Without a spool this only looks for the folder. Errors that are not about the file pass, and the file stays.
        """
        bars_left = MOST_BARS if in_passing else sys.maxsize
        merged = 0
        names = self._listed()
        for name in names or ():
            file = self.folder / name
            if name.endswith(_SUFFIX):
                bars = max(_bars_in(name), _BARS_PER_FILE)
                if bars <= bars_left and (only is None or _is_about(file, only)):
                    bars_left -= bars
                    merged += self._merge_file(file, write)
            elif (found := _UNFINISHED.fullmatch(name)) and not is_alive(int(found["pid"])):
                logger.info("removing %s, which an interrupted program left behind", file)
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        if names is not None:  # also an empty one: a killed program, or a full disk, leaves it behind
            with suppress(OSError):  # it has quarantined files, or new ones
                self.folder.rmdir()
        return merged

    def _merge_file(self, file: Path, write: Callable[[SpooledWrite, Path], bool]) -> bool:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return False  # another process has merged it
        except OSError as error:
            logger.warning("cannot read %s, and leave it there: %s", file, error.strerror)
            return False
        try:
            kept = _write_of(file.name, content)
            done = write(kept, file)
        except HistoryRestatedError as error:
            logger.info("dropping %s: %s", file, error)
            done = False
        except StorageError as error:
            if not isinstance(error, InvalidBarsError):
                raise  # it is about the store, not about these bars
            _quarantine(file, error)
            return False
        except Exception as error:  # a bad file must not stop the write
            _quarantine(file, error)
            return False
        if done:
            what = kept.write
            logger.info("merged %d bars of %s, which had been kept in %s", len(what.bars), what.key.label(), file)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:  # merging it again changes nothing
            logger.warning("cannot remove %s, which was merged: %s", file, error.strerror)
        return done

    def _names(self) -> list[str]:
        return self._listed() or []

    def _listed(self) -> list[str] | None:
        """Return the names of the files, oldest first; None if there is no folder."""
        try:
            return sorted(os.listdir(self.folder))  # noqa: PTH208 (every write looks here, and iterdir takes longer)
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("cannot look into %s: %s", self.folder, error.strerror)
            return None


def _bars_in(name: str) -> int:
    """Return the number of bars in a file; 0 if its name does not have it."""
    found = _NAME.fullmatch(name)
    return int(found["bars"]) if found else 0


def _preface(failure: Exception, kept: SpooledWrite) -> str:
    what = "write" if kept.write.covered is None else "download"
    cause = failure.cause if isinstance(failure, StoreWriteError) else str(failure)
    return f"{cause.rstrip('. ')}. The {what} ({_description(kept.write)})"


def _description(write: BarsWrite) -> str:
    bars, label = len(write.bars), write.key.label()
    if not bars:
        return f"an empty response for {label}"
    return f"{bars:,} {'bar' if bars == 1 else 'bars'} of {label}"


def _quarantine(file: Path, reason: Exception) -> None:
    aside = file.with_name(file.name + _QUARANTINED)
    logger.warning(
        "%s cannot be merged and is renamed to %s; download these bars again, or rename it back once the cause is "
        "removed. Cause: %s: %s",
        *(file, aside.name, type(reason).__name__, reason),
    )
    with suppress(OSError):
        file.replace(aside)


# -- a write as a file ---------------------------------------------------------------------------------------


def _content_of(kept: SpooledWrite) -> bytes:
    write = kept.write
    key, covered = write.key, write.covered
    expiration = key.asset.expiration
    said = {
        "asset": {**asdict(key.asset), "expiration": expiration and expiration.isoformat()},
        "source": key.source,
        "timeframe": key.timeframe,
        "adjustment": key.adjustment,
        "covered": covered and [covered.start, covered.end],
        "also_covered": _as_pairs(write.also_covered),
        "provisional": None if write.provisional is None else _as_pairs(write.provisional),
        "replace": write.replace,
        "metadata": metadata_text(key, write.metadata),
        "onto": write.onto,
        "asked_at": write.asked_at.isoformat(),
        "closed_at": write.closed_at and write.closed_at.isoformat(),
        "store_id": kept.store_id,
        "layout": write.bars.layout.to_json(),
    }
    table = pa.table({_TIMES: pa.array(write.bars.times, pa.int64()), **write.bars.physical()})
    table = table.replace_schema_metadata({_WRITE: json.dumps(said).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _write_of(name: str, content: bytes) -> SpooledWrite:
    """Return the write in a file; raise an error of any kind if there is something wrong with it."""
    named = _NAME.fullmatch(name)
    if named is None or hashlib.sha256(content).hexdigest() != named["digest"]:
        raise ValueError("its contents are not what was written")
    table = pa.ipc.open_file(pa.py_buffer(content)).read_all()
    table.validate(full=True)
    said: Mapping[str, Any] = json.loads(table.schema.metadata[_WRITE])
    key = _key_of(said)
    covered, onto, closed_at = said["covered"], said["onto"], said.get("closed_at")
    write = BarsWrite(
        key=key,
        bars=_bars(key.label(), table, Layout.from_json(said["layout"])),
        covered=None if covered is None else TimeRange(int(covered[0]), int(covered[1])),
        replace=bool(said["replace"]),
        metadata=None if said["metadata"] is None else json.loads(said["metadata"]),
        onto=None if onto is None else int(onto),
        asked_at=parse_moment(said["asked_at"]),
        also_covered=_ranges(said.get("also_covered", ())),
        provisional=None if said.get("provisional") is None else _ranges(said["provisional"]),
        yields=True,
        closed_at=None if closed_at is None else parse_moment(closed_at),
    )
    return SpooledWrite(write, _text(said["store_id"]))


def _is_about(file: Path, only: Callable[[SeriesKey], bool]) -> bool:
    """Return whether a file is about a chosen series, without reading its bars.

    True if it cannot be read, because merging it reports why.
    """
    series = _series_in(file)
    return series is None or only(series)


def _series_in(file: Path) -> SeriesKey | None:
    """Return the series of a file, without reading its bars; None if it cannot be read."""
    try:
        with pa.OSFile(str(file)) as opened:
            return _key_of(json.loads(pa.ipc.open_file(opened).schema.metadata[_WRITE]))
    except Exception:
        return None


def _key_of(said: Mapping[str, Any]) -> SeriesKey:
    return SeriesKey(
        asset_key(_asset_of(said["asset"])),
        canonical_source(said["source"]),
        canonical_timeframe(said["timeframe"]),
        _text(said["adjustment"]),
    )


def _as_pairs(ranges: Sequence[TimeRange]) -> list[list[int]]:
    return [[piece.start, piece.end] for piece in ranges]


def _ranges(pairs: Iterable[Sequence[Any]]) -> tuple[TimeRange, ...]:
    return tuple(TimeRange(int(start), int(end)) for start, end in pairs)


def _bars(label: str, table: pa.Table, layout: Layout) -> InputBars:
    """Return the bars of a file, through all checks of a write."""
    # Here, since both import pandas, and SQL does without it.
    from lumibot_duckdb.storage.bars import output
    from lumibot_duckdb.storage.bars.input_checks import check_bars

    for name, sql_type in [(_TIMES, "BIGINT"), *layout.physical()]:
        if table.schema.field(name).type != _ARROW_TYPES[sql_type]:
            raise TypeError(f"its column {name} holds {table.schema.field(name).type}")
    times = table[_TIMES].to_numpy()
    frame = output.frame(table, times, layout)
    bars = check_bars(label, frame)
    if not np.array_equal(bars.times, times):
        raise ValueError("bars cannot have such times")
    return bars


def _asset_of(said: Mapping[str, Any]) -> AssetKey:
    expiration, strike = said["expiration"], said["strike"]
    return AssetKey(
        symbol=_text(said["symbol"]),
        asset_type=_text(said["asset_type"]),
        quote=_text_or_none(said["quote"]),
        exchange=_text(said["exchange"]),
        expiration=None if expiration is None else date.fromisoformat(expiration),
        strike=None if strike is None else float(strike),
        right=_text_or_none(said["right"]),
        multiplier=float(said["multiplier"]),
        auto_expiry=_text_or_none(said["auto_expiry"]),
    )


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    value.encode()  # half of a surrogate pair is a Python string, but cannot be stored
    return value
