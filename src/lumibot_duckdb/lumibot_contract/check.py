"""Verifies the requirements on the installed Lumibot and pandas, without importing Lumibot or any source."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.breach import Breach
from lumibot_duckdb.lumibot_contract.results import all_breaches
from lumibot_duckdb.lumibot_contract.verified import is_verified

__all__ = ["Breach", "breaches"]


def breaches(part: str) -> tuple[Breach, ...]:
    """Return what the installed packages lack for a source ("polygon") or another part ("activation").

    Functions whose source code changed are left out once a self-test of the part has passed on them; see `verified`.
    The first check of an installation takes up to a tenth of a second, later ones a millisecond.

    Raises:
        KeyError: there is no part of that name.
    """
    found = all_breaches(part)
    if any(each.is_unknown_source for each in found) and is_verified(part):
        return tuple(each for each in found if not each.is_unknown_source)
    return found
