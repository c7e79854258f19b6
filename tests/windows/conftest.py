from __future__ import annotations

from windows.stored_minutes import storage

__all__ = ["storage"]
