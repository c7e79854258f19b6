"""Which code calls: Lumibot's or ours, or the user's."""

from __future__ import annotations

from types import FrameType

_OURS = __name__.split(".")[0]


def is_lumibot_or_ours(frame: FrameType) -> bool:
    """Return whether the code of a stack frame is part of Lumibot or of this package."""
    name = str(frame.f_globals.get("__name__", ""))
    return is_of(name, "lumibot") or is_of(name, _OURS)


def is_of(module: str, package: str) -> bool:
    """Return whether a module is a package or belongs to it."""
    return module == package or module.startswith(f"{package}.")
