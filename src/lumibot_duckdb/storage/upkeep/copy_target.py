"""Where copies of a store may be written."""

from __future__ import annotations

import os
from pathlib import Path

from lumibot_duckdb.storage.errors import StoreWriteError
from lumibot_duckdb.storage.location import check_file

_BESIDE_STORE = (".lock", ".turn", ".wal", ".guard", ".spool", ".use")
"""What the names of files that belong to a store end with."""


def copy_target(path: str | os.PathLike[str], store: Path) -> Path:
    """Return the absolute path for a copy of `store`.

    Raises ValueError for a path that cannot be that of a copy, and `StoreWriteError` if nothing can be written there.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    original = Path(os.path.realpath(store))
    check_file(target)
    if target.is_dir():
        raise ValueError(f"{target} is a folder: name a file in it")
    if target == original or (target.exists() and original.exists() and target.samefile(original)):
        raise ValueError(f"{target} is the store itself: name another file")
    for suffix in _BESIDE_STORE:
        name = target.name.removesuffix(suffix)
        if name not in ("", target.name) and target.with_name(name).is_file():
            raise ValueError(f"{target} belongs to the store {name}: name another file")
    if not target.parent.is_dir():
        raise StoreWriteError(f"there is no folder {target.parent}: create it, or choose another one")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise StoreWriteError(f"the folder {target.parent} is not writable: choose another one")
    return target
