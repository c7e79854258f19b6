"""Restoring: a backup takes the place of the store.

The backup is copied beside the store, upgraded if it is older, and verified there, while others still use the store.
Only then is the store locked, and the copy renamed. Processes that use the store notice that its history is another
one, by the time of the last write that they have seen.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lumibot_duckdb.storage import migrations
from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.bars.open_store import OpenStore
from lumibot_duckdb.storage.bars.spool import SpoolContents
from lumibot_duckdb.storage.connection.disk_errors import writing
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import (
    ReplicaError,
    StorageError,
    StoreBusyError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
)
from lumibot_duckdb.storage.location import check_file, ensure_folder
from lumibot_duckdb.storage.partial_work import partial_work
from lumibot_duckdb.storage.times import utc_now
from lumibot_duckdb.storage.upkeep.file_kind import not_a_store
from lumibot_duckdb.storage.upkeep.losses import Loss, losses
from lumibot_duckdb.storage.upkeep.other_file import copy_bytes, opened
from lumibot_duckdb.storage.upkeep.replacement import put_in_place, unfinished
from lumibot_duckdb.storage.upkeep.verification import verify

logger = logging.getLogger(__name__)

# What may lie beside a store file and belongs to it: DuckDB's log, and the copy of an interrupted checkpoint.
_PARTS = (".wal", ".guard")


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a backup has, and what the store has that it lacks.

    Attributes:
        restored: Whether the backup is the store now.
        bytes: The size of the backup.
        series: How many series it has.
        rows: How many bars it has, superseded ones included.
        replaces: Whether there was a store.
        losses: What that store has and the backup lacks, by series. Only its current bars count.
        not_compared: Why the store could not be compared with the backup: it is damaged, say. "" if it was.
        spooled: The downloads that wait beside the store. They are not merged into the backup.
        kept_as: Where the store is kept that was replaced, with what waited in its spool.
    """

    restored: bool
    bytes: int
    series: int
    rows: int
    replaces: bool
    losses: tuple[Loss, ...] = field(default=())
    not_compared: str = ""
    spooled: SpoolContents = field(default_factory=SpoolContents)
    kept_as: str | None = None


def restore(
    store: OpenStore,
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    confirm: Callable[[RestoreReport], bool] | None = None,
    keep_replaced: bool = True,
    on_bytes: OnBytes | None = None,
) -> RestoreReport:
    """Replace the store by the backup at `path`, if it is sound."""
    source = _source(path, store)
    _refuse_replica(store)
    if not dry_run:
        ensure_folder(store.path)
        _refuse_protected(store.path)
    place = _place_of_copy(store)
    untouched = f"{store.path} is unchanged"
    with (
        partial_work(untouched) as work,
        writing(untouched, needs=(source.stat().st_size, place.parent)),
        unfinished(place, "restoring") as copy,
    ):
        _copy_sound(source, copy, on_bytes)
        found = _examined(store, source, copy)
        if dry_run or not (confirm is None or confirm(found)):
            return found
        with deferred(), store.connection.replacing() as live:
            kept_as = _replace(live, copy, store.spool.folder, keep_replaced)
            work.outcome = f"{store.path} is restored"
        return replace(found, restored=True, kept_as=None if kept_as is None else str(kept_as))


def _refuse_replica(store: OpenStore) -> None:
    """Raise `ReplicaError` if the store is a replica. A store that cannot be opened may be replaced."""
    if not store.connection.exists():
        return
    with suppress(StoreDamagedError, StoreVersionError), store.connection.read() as cursor:
        state = migrations.state(cursor)
        migrations.refuse_published(state)
        if state.replica_of:
            raise ReplicaError(f"{store.path} is a replica of {state.replica_of}: name that store")


def _refuse_protected(path: Path) -> None:
    """Raise `StoreWriteError` if the store is write-protected, which does not keep a file from being replaced."""
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreWriteError(f"{path} can only be read, so it is not replaced. Make it writable first (chmod u+w)")


def _place_of_copy(store: OpenStore) -> Path:
    """Return the path beside which a backup is copied: that of the store, or another if no file can be made there."""
    real = store.connection.path
    return real if os.access(real.parent, os.W_OK) else Path(tempfile.gettempdir()) / real.name


def _source(path: str | os.PathLike[str], store: OpenStore) -> Path:
    source = Path(os.path.realpath(Path(path).expanduser()))
    check_file(source)
    if source.is_dir():
        raise ValueError(not_a_store(source))
    if not source.exists():
        raise StoreNotFoundError(f"there is no file {source}")
    if store.path.exists() and source.samefile(store.path):
        raise ValueError(f"{source} is the store itself: name a backup of it")
    return source


def _copy_sound(source: Path, copy: Path, on_bytes: OnBytes | None) -> None:
    """Copy a backup, with the log beside it. Raises if it is none."""
    with opened(source) as cursor:
        try:
            state = migrations.state(cursor)
        except (StoreDamagedError, StoreVersionError) as error:
            raise type(error)(f"{source} cannot be restored: {error}") from error
        if state.replica_of:
            raise ReplicaError(
                f"{source} is a replica of {state.replica_of}, without superseded versions, and no backup: restore a "
                "backup, which `lumibot-duckdb backup` makes"
            )
        if not state.schema_version:
            raise StoreDamagedError(f"{source} is an empty DuckDB database, so it is not a store")
        copy_bytes(source, copy, on_bytes)
        if _beside(source, ".wal").exists():
            copy_bytes(_beside(source, ".wal"), _beside(copy, ".wal"))


def _examined(store: OpenStore, source: Path, copy: Path) -> RestoreReport:
    """Upgrade and verify the copy of a backup, and compare it with the store. Raises if it is damaged."""
    backup = OpenStore(copy, StoreConnection.of(copy), 0)
    try:
        backup.require()
        verified = verify(backup.connection)
        if not verified.sound:
            first = next(finding for finding in verified.findings if finding.damage)
            raise StoreDamagedError(
                f"{source} is damaged, and was not restored: {first.what}. Restore another "
                f"backup, or repair this one first: lumibot-duckdb verify --repair --store {source}"
            )
        found = RestoreReport(
            restored=False,
            bytes=copy.stat().st_size,
            series=verified.series,
            rows=verified.rows,
            replaces=store.connection.exists(),
            spooled=store.spool.contents(),
        )
        return _compared(found, store, backup) if found.replaces else found
    finally:
        backup.connection.close()


def _compared(found: RestoreReport, store: OpenStore, backup: OpenStore) -> RestoreReport:
    try:
        return replace(found, losses=tuple(losses(store, backup)))
    except StoreBusyError:
        raise
    except StorageError as error:
        return replace(found, not_compared=str(error))


def _replace(live: Path, copy: Path, spool: Path, keep_replaced: bool) -> Path | None:
    """Replace the store by the copy; return the path under which the old one is kept."""
    if not live.exists() or not live.stat().st_size:  # what waits in a spool is merged into the restored store
        put_in_place(copy, live)
        return None
    if not keep_replaced:
        put_in_place(copy, live)
        _tidy(lambda: shutil.rmtree(spool), spool)
        kept = None
    else:
        with _kept(live) as kept:
            put_in_place(copy, live)
        _tidy(lambda: spool.rename(_beside(kept, ".spool")), spool)
    for part in _PARTS:
        _tidy(_beside(live, part).unlink, _beside(live, part))
    return kept


@contextmanager
def _kept(live: Path) -> Iterator[Path]:
    """Give the store and its parts another name, too, unless the block raises."""
    _drop_links(live)
    stem = f"{live.stem}.replaced-{utc_now():%Y%m%d-%H%M%S}"
    number = 1
    while (kept := live.with_name(f"{stem}{f'-{number}' if number > 1 else ''}{live.suffix}")).exists():
        number += 1
    try:
        for part in ("", *_PARTS):
            with suppress(FileNotFoundError):
                _link(_beside(live, part), _beside(kept, part))
        yield kept
    except BaseException:
        for part in ("", *_PARTS):
            _beside(kept, part).unlink(missing_ok=True)
        raise


def _drop_links(live: Path) -> None:
    """Remove the other name that an interrupted restoration gave to a store that it did not replace."""
    for file in live.parent.glob(f"{glob.escape(live.stem)}.replaced-*{glob.escape(live.suffix)}"):
        if file.samefile(live):
            file.unlink()


def _link(file: Path, name: Path) -> None:
    """Give a file another name, which at no moment takes away its own; copy it where that is impossible."""
    try:
        name.hardlink_to(file)
    except FileNotFoundError:
        raise
    except OSError:  # the file system has no hard links
        shutil.copyfile(file, name)


def _tidy(act: Callable[[], object], file: Path) -> None:
    """Do what need not succeed, now that the store has been replaced."""
    try:
        act()
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.warning("the store was restored, but %s belongs to the one that it replaced: %s", file, error.strerror)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
