"""The spool: downloads that could not be written in time, kept as files beside the store until a write merges them.

Each file of `<store>.spool/` is one write: an Arrow IPC file with the bars as they are stored, and in its metadata all
else that the write needs. Its name has the time (the oldest is merged first), how many bars it holds, and the digest of
its contents. It is written under another name and then renamed, so that a file of such a name is whole.

A file is removed only after its transaction was committed. Dying in between does no harm: the same bars again change
nothing. What cannot be read or would be refused is set aside under a name that ends in `.damaged`, and never deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars import output as bars_output
from lumibot_duckdb.storage.bars.input_checks import InputBars, check_bars
from lumibot_duckdb.storage.bars.layout import Layout
from lumibot_duckdb.storage.bars.writing import BarsWrite, metadata_text
from lumibot_duckdb.storage.connection.lock import is_alive
from lumibot_duckdb.storage.errors import HistoryRestatedError, InvalidBarsError, StoreBusyError, StoreWriteError
from lumibot_duckdb.storage.identity import asset_key, canonical_source
from lumibot_duckdb.storage.timeframes import canonical_timeframe
from lumibot_duckdb.storage.times import parse_moment

logger = logging.getLogger(__name__)

_SUFFIX = ".arrow"
_SET_ASIDE = ".damaged"
_NAME = re.compile(r"\d{20}-(?P<bars>\d+)-(?P<digest>[0-9a-f]{64})\.arrow")
_UNFINISHED = re.compile(r".*\.arrow\.(?P<pid>\d+)")
_WRITE = b"lumibot_duckdb_write"
_TIMES = "ts"
_ARROW_TYPES = {"DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "BIGINT": pa.int64(), "VARCHAR": pa.string()}


@dataclass(frozen=True, slots=True)
class SpooledWrite:
    """A write that was kept; `store_id` is that of the store for which it was meant ("" where that is not known)."""

    write: BarsWrite
    store_id: str


@dataclass(frozen=True, slots=True)
class SpoolContents:
    """What lies in a spool: writes that wait, the bars in them, and files that were set aside."""

    writes: int = 0
    bars: int = 0
    set_aside: int = 0


class Spool:
    """The spool of the store at `store`. Any number of processes may keep and merge at once."""

    def __init__(self, store: Path) -> None:
        real = Path(os.path.realpath(store))
        self.folder = real.with_name(real.name + ".spool")

    def contents(self) -> SpoolContents:
        """Tell what there is, by the names of the files."""
        names = self._names()
        waiting = [int(found["bars"]) for found in map(_NAME.fullmatch, names) if found]
        return SpoolContents(len(waiting), sum(waiting), sum(name.endswith(_SET_ASIDE) for name in names))

    def sentences(self) -> list[str]:
        """Return what people should know of what lies there; nothing if nothing does."""
        there = self.contents()
        found = []
        if there.writes:
            downloads = "1 download" if there.writes == 1 else f"{there.writes:,} downloads"
            found.append(f"{there.bars:,} bars of {downloads} wait in {self.folder} for the next write to the store")
        if there.set_aside:
            files = "1 file" if there.set_aside == 1 else f"{there.set_aside:,} files"
            found.append(f"{files} in {self.folder} could not be merged (*{_SET_ASIDE})")
        return found

    # -- keeping ---------------------------------------------------------------------------------------------

    def keep_after(
        self, failure: StoreBusyError | StoreWriteError, kept: SpooledWrite
    ) -> StoreBusyError | StoreWriteError:
        """Keep a write that failed; return the failure with what became of it.

        Raises `InvalidBarsError` for metadata that cannot be stored.
        """
        text = f"{str(failure).rstrip('. ')}. What was to be stored ({_in_words(kept.write)})"
        try:
            self.keep(kept)
        except OSError as error:
            return type(failure)(
                f"{text} could not be kept in {self.folder} either ({error.strerror or error}), so it is not in the "
                "store: do the same again once that is mended"
            )
        return type(failure)(f"{text} is kept in {self.folder}, and the next write to the store merges it")

    def keep(self, kept: SpooledWrite) -> Path:
        """Keep a write, and return its file. Raises OSError: then nothing of it is there."""
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
                continue  # another process had merged everything just then, and removed the folder
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)
                raise

    # -- merging ---------------------------------------------------------------------------------------------

    def merge(self, write: Callable[[SpooledWrite, Path], bool]) -> int:
        """Have everything written that waits, oldest first; return how many writes that were.

        `write` writes one in a transaction of its own if its file is still there then, and tells whether it was.
        Without a spool this costs one look at the folder. Errors that are not about the file pass, and it stays.
        """
        merged = 0
        names = self._names()
        for name in names:
            file = self.folder / name
            if name.endswith(_SUFFIX):
                merged += self._merge_file(file, write)
            elif (found := _UNFINISHED.fullmatch(name)) and not is_alive(int(found["pid"])):
                logger.info("removing %s, which an interrupted program left behind", file)
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        if names:
            with suppress(OSError):  # it has files that were set aside, or new ones
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
        except Exception as error:  # whatever is wrong with a file, writes go on
            _set_aside(file, error)
            return False
        try:
            done = write(kept, file)
        except HistoryRestatedError as error:
            logger.info("dropping %s: %s", file, error)
            done = False
        except InvalidBarsError as error:  # they do not go with those that are stored
            _set_aside(file, error)
            return False
        if done:
            what = kept.write
            logger.info("merged %d bars of %s, which had been kept in %s", len(what.bars), what.key.label(), file)
        file.unlink(missing_ok=True)
        return done

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.folder))  # noqa: PTH208 (every write looks here, and iterdir takes longer)
        except FileNotFoundError:
            return []
        except OSError as error:
            logger.warning("cannot look into %s: %s", self.folder, error.strerror)
            return []


def _in_words(write: BarsWrite) -> str:
    bars, label = len(write.bars), write.key.label()
    if not bars:
        return f"the answer without bars for {label}"
    return f"{bars:,} {'bar' if bars == 1 else 'bars'} of {label}"


def _set_aside(file: Path, reason: Exception) -> None:
    aside = file.with_name(file.name + _SET_ASIDE)
    logger.warning("%s cannot be merged and is set aside as %s: %s", file, aside.name, reason)
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
        "also_covered": [[piece.start, piece.end] for piece in write.also_covered],
        "replace": write.replace,
        "metadata": metadata_text(key, write.metadata),
        "onto": write.onto,
        "asked_at": write.asked_at.isoformat(),
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
    """Return the write that a file holds; raise, whatever is wrong with it."""
    named = _NAME.fullmatch(name)
    if named is None or hashlib.sha256(content).hexdigest() != named["digest"]:
        raise ValueError("its contents are not those that were written")
    table = pa.ipc.open_file(pa.py_buffer(content)).read_all()
    table.validate(full=True)
    said: Mapping[str, Any] = json.loads(table.schema.metadata[_WRITE])
    key = SeriesKey(
        asset_key(_asset_of(said["asset"])),
        canonical_source(said["source"]),
        canonical_timeframe(said["timeframe"]),
        _text(said["adjustment"]),
    )
    covered, onto = said["covered"], said["onto"]
    write = BarsWrite(
        key=key,
        bars=_bars(key.label(), table, Layout.from_json(said["layout"])),
        covered=None if covered is None else TimeRange(int(covered[0]), int(covered[1])),
        replace=bool(said["replace"]),
        metadata=None if said["metadata"] is None else json.loads(said["metadata"]),
        onto=None if onto is None else int(onto),
        asked_at=parse_moment(said["asked_at"]),
        also_covered=tuple(TimeRange(int(start), int(end)) for start, end in said.get("also_covered", ())),
    )
    return SpooledWrite(write, _text(said["store_id"]))


def _bars(label: str, table: pa.Table, layout: Layout) -> InputBars:
    """Return the bars of a file, through all checks of a write."""
    for name, sql_type in [(_TIMES, "BIGINT"), *layout.physical()]:
        if table.schema.field(name).type != _ARROW_TYPES[sql_type]:
            raise TypeError(f"its column {name} holds {table.schema.field(name).type}")
    times = table[_TIMES].to_numpy()
    frame = bars_output.frame(bars_output.bar_arrays(table, times, layout.columns), layout)
    bars = check_bars(label, frame)
    if not np.array_equal(bars.times, times):
        raise ValueError("its times are none that bars can have")
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
        raise TypeError(f"{value!r} is no text")
    value.encode()  # half a surrogate pair is a Python text, but none that can be stored
    return value
