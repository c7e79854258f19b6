from __future__ import annotations

from outlines import outlines
from windows.stored_minutes import storage

__all__ = ["outlines", "storage"]
