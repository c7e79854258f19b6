"""The environment variables for published snapshots."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CACHE = "LUMIBOT_DUCKDB_SNAPSHOT_CACHE"
CACHE_SIZE = "LUMIBOT_DUCKDB_SNAPSHOT_CACHE_SIZE"
OFFLINE = "LUMIBOT_DUCKDB_OFFLINE"
OVERLAY = "LUMIBOT_DUCKDB_OVERLAY"

DEFAULT_CACHE_SIZE = "50GB"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B\s*", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """How this process opens published snapshots.

    Attributes:
        cache: the folder of downloaded snapshots; None for the default one.
        cache_bytes: how large it may become.
        offline: whether no request is sent.
        overlay: the folder of writable copies; None if snapshots are only read.
    """

    cache: Path | None
    cache_bytes: int
    offline: bool
    overlay: Path | None


def snapshot_settings(environment: Mapping[str, str] = os.environ) -> SnapshotSettings:
    """Return the settings in the environment. Raises ValueError for unusable ones."""
    return SnapshotSettings(
        _folder(environment.get(CACHE)),
        _size((environment.get(CACHE_SIZE) or "").strip() or DEFAULT_CACHE_SIZE),
        _flag(environment.get(OFFLINE, "")),
        _folder(environment.get(OVERLAY)),
    )


def _folder(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text and text.strip() else None


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{CACHE_SIZE} must be a size such as '20GB', not {text!r}")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES + _NO:
        raise ValueError(f"{OFFLINE} must be true or false, not {text!r}")
    return word in _YES
