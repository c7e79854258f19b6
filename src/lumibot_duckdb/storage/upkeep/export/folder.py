"""The folder of an export. It is written beside its place, and put there when it is complete."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lumibot_duckdb.storage.connection.disk_errors import disk_error
from lumibot_duckdb.storage.connection.interruption import deferred
from lumibot_duckdb.storage.connection.lock import is_alive
from lumibot_duckdb.storage.errors import InvalidExportError, StoreWriteError
from lumibot_duckdb.storage.partial_work import partial_work
from lumibot_duckdb.storage.upkeep.export.manifest import NAME, manifest_in

_UNFINISHED, _REPLACED = "exporting", "replaced"
_OURS = re.compile(rf"({_UNFINISHED}|{_REPLACED})-(\d+)-[0-9a-f]{{8}}")


def check_target(folder: Path, *, replace: bool) -> None:
    """Raise `InvalidExportError` unless an export can be put at a path.

    That is a path with nothing, or with an empty folder. With `replace` it may be an export, which has nothing but the
    files of its manifest.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InvalidExportError(f"{folder} is not a folder; name one that does not exist yet")
    if not folder.exists():
        return
    if os.path.ismount(folder) or folder.samefile(Path.cwd()):
        raise InvalidExportError(f"{folder} cannot be replaced as a whole; name a folder inside it")
    there = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    if not there:
        return
    manifest = manifest_in(folder)
    if manifest is None:
        raise InvalidExportError(f"{folder} is not empty; name a folder that does not exist yet")
    if not replace:
        raise InvalidExportError(f"{folder} has an export already; name another folder, or let this one replace it")
    further = there - {NAME, *manifest.files}
    if further:
        raise InvalidExportError(
            f"{folder} has an export and other files, such as {min(further)}, so it is not replaced; move them"
        )


@contextmanager
def new_folder(folder: Path, *, replace: bool) -> Iterator[Path]:
    """Give a folder to write an export into. It takes its place when the block ends, and is removed if it raises.

    A killed process leaves a hidden folder without a manifest, which the next export to the same place removes.
    """
    folder = folder.absolute()
    unfinished = _beside(folder, _UNFINISHED)
    untouched = f"{folder} is unchanged" if folder.exists() else f"nothing of the export to {folder} is left"
    try:
        with partial_work(untouched) as work:
            check_target(folder, replace=replace)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _clean_up(folder)
            unfinished.mkdir()
            yield unfinished
            check_target(folder, replace=replace)
            with deferred():
                _put_in_place(unfinished, folder)
                work.outcome = f"{folder} is complete"
    except OSError as error:
        if isinstance(error, StoreWriteError):
            raise
        raise disk_error(error, untouched) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _put_in_place(unfinished: Path, folder: Path) -> None:
    replaced = None
    if folder.exists():
        replaced = _beside(folder, _REPLACED)
        folder.rename(replaced)
    try:
        unfinished.rename(folder)
    except OSError:
        if replaced is not None:
            replaced.rename(folder)
        raise
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)
    with suppress(OSError):  # some systems cannot sync a folder
        _sync(folder.parent)


def _clean_up(folder: Path) -> None:
    """Remove what killed processes left behind, and put back an export that one of them was replacing."""
    prefix = f".{folder.name}."
    for path in folder.parent.iterdir():
        found = _OURS.fullmatch(path.name[len(prefix) :]) if path.name.startswith(prefix) else None
        if found is None or is_alive(int(found[2])):
            continue
        if found[1] == _REPLACED and not folder.exists():
            path.rename(folder)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
