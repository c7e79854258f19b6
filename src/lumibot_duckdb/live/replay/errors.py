"""Why a session cannot be replayed."""

from __future__ import annotations


class ReplayError(ValueError):
    """The session cannot be replayed: nothing was recorded, or the script does not have its strategy."""
