"""The files that a script's runs change, and that its next runs find changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

_Files: TypeAlias = dict[str, tuple[int, int]]
"""Paths of files, each with its modification time (ns) and size."""

_IGNORED = ("__pycache__", "logs")  # written by Python, and by Lumibot
_NAMED = 5


class ChangedFiles:
    """Tracks the files in a script's folder and the current one, and in their subfolders, except for the store.

    Deeper levels, where caches are, are not searched, so that this is fast in any folder.
    """

    def __init__(self, script: Path, store: Path) -> None:
        self._folders = {script.parent.resolve(), Path.cwd()}
        self._store = str(store.resolve())
        self._before = self._files()

    def named(self) -> str:
        """Return the files that were created, changed or deleted since construction, as relative paths; "" if none."""
        before, after = self._before, self._files()
        changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
        names = sorted(map(os.path.relpath, changed))
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def _files(self) -> _Files:
        found: _Files = {}
        for folder in self._folders:
            top = list(_entries(folder))
            below = (entry for inner in top if _may_contain_outputs(inner) for entry in _entries(inner.path))
            found |= {path: about for path, about in _files((*top, *below)) if not path.startswith(self._store)}
        return found


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:  # it was deleted, or cannot be read
        yield from entries


def _may_contain_outputs(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.name not in _IGNORED and not entry.name.startswith(".")


def _files(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, tuple[int, int]]]:
    for entry in entries:
        with suppress(OSError):
            if entry.is_file():
                yield entry.path, (entry.stat().st_mtime_ns, entry.stat().st_size)
