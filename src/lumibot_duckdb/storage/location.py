"""Where the store is: the path that was given, the environment's, or one in Lumibot's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.errors import StoreWriteError

ENVIRONMENT_VARIABLE = "LUMIBOT_DUCKDB_PATH"
FILE_NAME = "lumibot.duckdb"


def store_path(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the store file for `cache_dir`: a folder, or a file whose name ends in .duckdb.

    None means the environment variable `LUMIBOT_DUCKDB_PATH`, and else the folder `duckdb` in Lumibot's cache folder.
    """
    given = os.fspath(cache_dir) if cache_dir is not None else os.environ.get(ENVIRONMENT_VARIABLE) or None
    if given is None:
        return lumibot_cache_folder() / "duckdb" / FILE_NAME
    if "://" in given or given.lower().startswith("ducklake:"):
        raise ValueError(f"{given!r} is not a path; stores on DuckLake or over a network are not supported yet")
    path = Path(given).expanduser()
    if path.is_dir() or path.suffix.lower() != ".duckdb":
        return path / FILE_NAME
    return path


def ensure_folder(path: Path) -> None:
    """Make the folder of a store file; raise `StoreWriteError` that says what to do when that fails."""
    folder = path.parent
    hint = f"choose another place with cache_dir=... or the environment variable {ENVIRONMENT_VARIABLE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreWriteError(f"the folder {folder} for the store cannot be made ({error.strerror}); {hint}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreWriteError(f"the folder {folder} for the store is not writable; {hint}")


def lumibot_cache_folder() -> Path:
    """Lumibot's own rule, applied without importing Lumibot."""
    from appdirs import user_cache_dir

    folder = os.environ.get("LUMIBOT_CACHE_FOLDER") or user_cache_dir(
        appauthor="LumiWealth", appname="lumibot", version="1.0"
    )
    return Path(folder)
