"""Finds the file of a store, wherever the store is: at a path, or published on S3 or in a folder.

Code that opens a store gets a path from here, and need not know which of these it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.storage.downloaded_snapshot import snapshot_at
from lumibot_duckdb.storage.location import DEFAULT_FOLDER, ENVIRONMENT_VARIABLE, lumibot_cache_folder, store_path
from lumibot_duckdb.storage.published.settings import SnapshotSettings, snapshot_settings
from lumibot_duckdb.storage.published.targets import is_published

if TYPE_CHECKING:
    from lumibot_duckdb.storage.api import OnBytes
    from lumibot_duckdb.storage.published.cache import SnapshotCache

_CACHE_FOLDER = "snapshots"


def located_store(
    given: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    on_bytes: OnBytes | None = None,
    offline: bool = False,
) -> Path:
    """Return the path of the file of a store, which need not exist.

    Args:
        given: A folder, a file whose name ends in .duckdb, or a published snapshot: `s3://bucket/prefix`, or a folder
            that `publish` wrote. None means the environment variable `LUMIBOT_DUCKDB_PATH`, else the folder `duckdb` in
            Lumibot's cache folder.
        environment: The environment variables about snapshots.
        on_bytes: Receives how many bytes of how many are downloaded.
        offline: Send no request, as if `LUMIBOT_DUCKDB_OFFLINE` were set.

    Raises ValueError if a store cannot be there, and for a snapshot what `open_published` raises.
    """
    text = os.fspath(given) if given is not None else os.environ.get(ENVIRONMENT_VARIABLE) or None
    if text is None or not is_published(text):
        path = store_path(given)
        _keep(Path(os.path.realpath(path)))
        return path
    from lumibot_duckdb.storage.published.opening import open_published

    settings = snapshot_settings(environment)
    if offline:
        settings = replace(settings, offline=True)
    return open_published(text, settings, snapshot_cache(settings), on_bytes)


def _keep(file: Path) -> None:
    """Keep the file of a downloaded snapshot in the cache, if it is one: its path may come from another process."""
    if snapshot_at(file) is not None:
        from lumibot_duckdb.storage.published.cache import hold

        hold(file)


def snapshot_cache(settings: SnapshotSettings) -> SnapshotCache:
    """Return the cache of downloaded snapshots: by default in the folder of this package in Lumibot's cache folder."""
    from lumibot_duckdb.storage.published.cache import SnapshotCache  # a path is found without importing DuckDB

    folder = settings.cache or lumibot_cache_folder() / DEFAULT_FOLDER / _CACHE_FOLDER
    return SnapshotCache(Path(os.path.realpath(folder)), settings.cache_bytes)
