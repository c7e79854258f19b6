"""Where results are stored."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.location import (
    ENVIRONMENT_VARIABLE,
    check_file,
    default_path,
    ensure_folder,
    store_path,
)
from lumibot_duckdb.storage.published.targets import is_published, objects_at

_SUFFIX = ".duckdb"


def results_path(results: str | os.PathLike[str] | None = None, store: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of a results database.

    Parameters:
        results: A file whose name ends in .duckdb. By default `<name>-results.duckdb` beside the store. If the store
            is a published snapshot, also one with an overlay, or its folder cannot be written to, it is
            `lumibot-results.duckdb` in the folder of the default store.
        store: The store, if there is no `results`: as for `DuckDBDataStorage`. A snapshot is not downloaded.

    Raises ValueError if results cannot be stored there.

    >>> results_path("crossover.duckdb") == Path("crossover.duckdb").absolute()
    True
    """
    if results is None:
        store_file = default_path() if _is_snapshot(store) else store_path(store).absolute()
        if not _can_have_files_beside(store_file):
            store_file = default_path()
        path = store_file.absolute().with_name(f"{store_file.stem}-results{_SUFFIX}")
    else:
        path = Path(results).expanduser().absolute()
        if "://" in os.fspath(results) or path.suffix.lower() != _SUFFIX or path.is_dir():
            raise ValueError(f"{os.fspath(results)!r} cannot be a results database: name a file that ends in {_SUFFIX}")
        if store is not None and not _is_snapshot(store) and path == store_path(store).absolute():
            raise ValueError(
                f"{os.fspath(results)!r} cannot be a results database: it is the store, so name another file"
            )
    check_file(path)
    return path


def ensure_results_folder(path: Path) -> None:
    """Create the folder of a results database; raise `StoreWriteError` with a remedy if that fails."""
    ensure_folder(path, "the results", "--results, results=...")


def _is_snapshot(store: str | os.PathLike[str] | None) -> bool:
    """Return whether a store is a published snapshot, whose file is in a cache that is emptied from time to time."""
    given = os.environ.get(ENVIRONMENT_VARIABLE) if store is None else os.fspath(store)
    if not given:
        return False
    if is_published(given):
        objects_at(given)  # raises ValueError for an unusable URL
        return True
    return snapshot_at(Path(os.path.realpath(store_path(given)))) is not None


def _can_have_files_beside(store: Path) -> bool:
    """Return whether the folder of a store can be written to, or created."""
    nearest = next(place for place in store.parents if place.exists())
    return os.access(nearest, os.W_OK | os.X_OK)
