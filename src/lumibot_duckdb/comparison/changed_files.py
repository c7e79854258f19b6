"""What the runs of a script leave in its folders, where the next run finds it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

_Files: TypeAlias = dict[str, tuple[int, int]]
"""Paths of files, each with what is another once it was changed: time and size."""

_PASSED_OVER = ("__pycache__", "logs")  # Python's own, and where Lumibot's files go without us
_NAMED = 5


class Leftovers:
    """The files in the folder of a script and in the present one, and in the folders there, but for the store's.

    Not what lies deeper, as the files of caches do: looking is to be quick wherever a script lies.
    """

    def __init__(self, script: Path, store: Path) -> None:
        self._folders = {script.parent.resolve(), Path.cwd()}
        self._store = str(store.resolve())
        self._before = self._files()

    def named(self) -> str:
        """Name the files that are new, gone or other since this was made, as seen from the present folder; or ""."""
        before, after = self._before, self._files()
        changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
        names = sorted(map(os.path.relpath, changed))
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def _files(self) -> _Files:
        found: _Files = {}
        for folder in self._folders:
            top = list(_entries(folder))
            below = (entry for inner in top if _may_be_a_scripts(inner) for entry in _entries(inner.path))
            found |= {path: about for path, about in _files((*top, *below)) if not path.startswith(self._store)}
        return found


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:  # it went away, or may not be read
        yield from entries


def _may_be_a_scripts(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.name not in _PASSED_OVER and not entry.name.startswith(".")


def _files(entries: Iterable[os.DirEntry[str]]) -> Iterator[tuple[str, tuple[int, int]]]:
    for entry in entries:
        with suppress(OSError):
            if entry.is_file():
                yield entry.path, (entry.stat().st_mtime_ns, entry.stat().st_size)
