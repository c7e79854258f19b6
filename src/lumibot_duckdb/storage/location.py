"""Where the store is: at a given path, at that of an environment variable, or in Lumibot's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.errors import StoreWriteError

ENVIRONMENT_VARIABLE = "LUMIBOT_DUCKDB_PATH"
FILE_NAME = "lumibot.duckdb"
DEFAULT_FOLDER = "duckdb"
"""The folder of this package in Lumibot's cache folder."""

# DuckDB takes what follows a question mark for options, and a backslash for a slash.
_UNUSABLE = ("?", "\\")
_NAME_MAX = 255  # bytes, on Linux and macOS
# The longest names beside a store are those of a compaction (".compacting-1234567-0a1b2c3d.wal" and longer), and the
# longest paths those of spooled downloads.
_SPACE_BESIDE_NAME = 60
_SPACE_BESIDE_PATH = 160


def store_path(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the store file for `cache_dir`: a folder, or a file whose name ends in .duckdb.

    None means the environment variable `LUMIBOT_DUCKDB_PATH`, else the folder `duckdb` in Lumibot's cache folder.
    Raises ValueError if a store cannot be there.
    """
    given = os.fspath(cache_dir) if cache_dir is not None else os.environ.get(ENVIRONMENT_VARIABLE) or None
    path = default_path() if given is None else _path_of(given)
    _check_folder(path.parent)
    check_file(path)
    return path


def default_path() -> Path:
    """Return the path of the store if nobody names another one."""
    return lumibot_cache_folder() / DEFAULT_FOLDER / FILE_NAME


def _path_of(given: str) -> Path:
    if "://" in given or given.lower().startswith("ducklake:"):
        raise ValueError(
            f"{given!r} is not a path; a store is a path, or a published snapshot: s3://bucket/prefix. DuckLake and "
            "other networks are not supported yet"
        )
    path = Path(given).expanduser()
    _refuse_too_long(path.absolute(), _NAME_MAX)
    if path.is_dir() or path.suffix.lower() != ".duckdb":
        return path / FILE_NAME
    return path


def _check_folder(folder: Path) -> None:
    """Raise ValueError if a file has the path of the store's folder, or of a folder above it."""
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise ValueError(
            f"{nearest} is not a folder, so no store can be in it: name a folder, or a file whose name ends in .duckdb"
        )


def _refuse_too_long(path: Path, longest_name: int) -> None:
    """Raise ValueError if a path, its last name, or that of a folder is too long."""
    longest = os.pathconf("/", "PC_PATH_MAX") - 1 - _SPACE_BESIDE_PATH
    *folders, name = map(os.fsencode, path.parts)
    excess = (
        len(os.fsencode(path)) - longest,
        len(name) - longest_name,
        max(map(len, folders), default=0) - _NAME_MAX,
    )
    if max(excess) > 0:
        raise ValueError(
            f"{str(path)!r} is {max(excess)} bytes too long, since a store has files with longer names beside it; "
            "choose a shorter path"
        )


def check_file(path: Path) -> None:
    """Raise ValueError if a store cannot have this path, or the one that a link there leads to."""
    real = Path(os.path.realpath(path))
    for character in _UNUSABLE:
        if character in str(real):
            raise ValueError(
                f"{str(real)!r} contains {character!r}, which DuckDB cannot handle in the path of a database; choose "
                "another path"
            )
    _refuse_too_long(real, _NAME_MAX - _SPACE_BESIDE_NAME)
    if real.exists() and not (real.is_file() or real.is_dir()):
        raise ValueError(f"{real} is not a regular file, so it cannot be a store; choose another path")


def ensure_folder(
    path: Path, what: str = "the store", option: str = f"--store, cache_dir=... or {ENVIRONMENT_VARIABLE}"
) -> None:
    """Create the folder of a file; raise `StoreWriteError` with a remedy if that fails.

    The message says `what` the file is, and which `option` chooses another one.
    """
    folder = path.parent
    hint = f"make it writable, or choose another place ({option})"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreWriteError(f"the folder {folder} for {what} cannot be created ({error.strerror}); {hint}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreWriteError(f"the folder {folder} for {what} is not writable; {hint}")


def lumibot_cache_folder() -> Path:
    """Return Lumibot's cache folder, by Lumibot's own rule but without importing Lumibot."""
    from appdirs import user_cache_dir

    folder = os.environ.get("LUMIBOT_CACHE_FOLDER") or user_cache_dir(
        appauthor="LumiWealth", appname="lumibot", version="1.0"
    )
    return Path(folder)
