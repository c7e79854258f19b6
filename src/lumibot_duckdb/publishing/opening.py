"""Finds the file of a store for a user, and shows how far the download of a published snapshot is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lumibot_duckdb.progress import Progress
from lumibot_duckdb.storage.locating import located_store


def opened_store(
    given: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    offline: bool = False,
) -> Path:
    """Return the path of the file of a store, as `located_store` does, with a line of progress on the terminal."""
    with ExitStack() as shown:
        progress: Progress | None = None

        def on_bytes(done: int, total: int) -> None:
            nonlocal progress
            if progress is None:
                progress = shown.enter_context(Progress("Downloading the snapshot"))
            progress.update(done, total)

        return located_store(given, environment=environment, on_bytes=on_bytes, offline=offline)
