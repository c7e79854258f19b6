"""Where results are stored."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.location import check_file, default_path, store_path

_SUFFIX = ".duckdb"


def results_path(results: str | os.PathLike[str] | None = None, store: str | os.PathLike[str] | None = None) -> Path:
    """Return the absolute path of a results database.

    Parameters:
        results: A file whose name ends in .duckdb. By default `<name>-results.duckdb` beside the store; if that is a
            published snapshot, which is in a cache here, beside the default store.
        store: The store, if there is no `results`: as for `DuckDBDataStorage`.

    Raises ValueError if results cannot be stored there.

    >>> results_path(store="/data/research.duckdb")
    PosixPath('/data/research-results.duckdb')
    """
    if results is None:
        beside = store_path(store).absolute()
        if snapshot_at(beside) is not None:
            beside = default_path()
        path = beside.with_name(f"{beside.stem}-results{_SUFFIX}")
    else:
        path = Path(results).expanduser().absolute()
        if "://" in os.fspath(results) or path.suffix.lower() != _SUFFIX or path.is_dir():
            raise ValueError(f"{os.fspath(results)!r} cannot be a results database: name a file that ends in {_SUFFIX}")
    check_file(path)
    return path
