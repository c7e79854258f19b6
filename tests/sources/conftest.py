from __future__ import annotations

from migration.conftest import cache
from windows.stored_minutes import storage

__all__ = ["cache", "storage"]
