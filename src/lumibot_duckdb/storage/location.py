"""Where the store is: at a given path, at that of an environment variable, or in Lumibot's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.errors import StoreWriteError

ENVIRONMENT_VARIABLE = "LUMIBOT_DUCKDB_PATH"
FILE_NAME = "lumibot.duckdb"
DEFAULT_FOLDER = "duckdb"
"""The folder of this package in Lumibot's cache folder."""


def store_path(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the store file for `cache_dir`: a folder, or a file whose name ends in .duckdb.

    None means the environment variable `LUMIBOT_DUCKDB_PATH`, else the folder `duckdb` in Lumibot's cache folder.
    Raises ValueError if a store cannot be there.
    """
    given = os.fspath(cache_dir) if cache_dir is not None else os.environ.get(ENVIRONMENT_VARIABLE) or None
    path = lumibot_cache_folder() / DEFAULT_FOLDER / FILE_NAME if given is None else _path_of(given)
    _check_folder(path.parent)
    return path


def _path_of(given: str) -> Path:
    if "://" in given or given.lower().startswith("ducklake:"):
        raise ValueError(f"{given!r} is not a path; stores on DuckLake or over a network are not supported yet")
    path = Path(given).expanduser()
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


def ensure_folder(path: Path) -> None:
    """Create the folder of a store file; raise `StoreWriteError` with a remedy if that fails."""
    folder = path.parent
    hint = f"choose another place with cache_dir=... or the environment variable {ENVIRONMENT_VARIABLE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreWriteError(
            f"the folder {folder} for the store cannot be created ({error.strerror}); {hint}"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreWriteError(f"the folder {folder} for the store is not writable; {hint}")


def lumibot_cache_folder() -> Path:
    """Return Lumibot's cache folder, by Lumibot's own rule but without importing Lumibot."""
    from appdirs import user_cache_dir

    folder = os.environ.get("LUMIBOT_CACHE_FOLDER") or user_cache_dir(
        appauthor="LumiWealth", appname="lumibot", version="1.0"
    )
    return Path(folder)
