"""Small JSON files beside the default store, which may be lost, unreadable or written by several processes."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumibot_duckdb.storage.location import DEFAULT_FOLDER, lumibot_cache_folder

_MOST_ENTRIES = 200


def read(name: str) -> dict[str, Any]:
    """Return the entries of a file; none if it is missing or unreadable."""
    try:
        found = json.loads((_folder() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def update(name: str, entries: Mapping[str, Any]) -> bool:
    """Add entries to a file, in place of those of the same names; return whether they could be written.

    Readers see either the old or the new file. Of two processes that write at the same time, one may lose its
    entries.
    """
    kept = {key: value for key, value in read(name).items() if key not in entries}
    latest = dict([*kept.items(), *entries.items()][-_MOST_ENTRIES:])
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        _replace(_folder() / name, json.dumps(latest, indent=1))
    except OSError:
        return False
    return True


def _folder() -> Path:
    return lumibot_cache_folder() / DEFAULT_FOLDER / "contract"


def _replace(file: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
