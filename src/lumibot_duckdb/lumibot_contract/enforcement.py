"""What happens when the installed Lumibot does not keep the contract: Lumibot's own class and one warning, or an error.

By default the part concerned is left to Lumibot, and a warning says what changed and what to do. With
`LUMIBOT_DUCKDB_STRICT=true`, `LumibotContractError` is raised instead.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

from lumibot_duckdb.lumibot_contract.breach import Breach
from lumibot_duckdb.lumibot_contract.check import breaches
from lumibot_duckdb.lumibot_contract.releases import installed_release, known_releases

STRICT = "LUMIBOT_DUCKDB_STRICT"
"""Environment variable: "true" raises an error where the package would fall back to Lumibot's own behaviour."""

logger = logging.getLogger(__name__)  # not below Lumibot's own logger, which quiet backtests silence

_SHOWN = 3
_CAUSED_BY_LUMIBOT = (ImportError, AttributeError, TypeError)
"""What importing one of our modules raises if Lumibot lacks a name, or if one of its classes is no longer a class."""
_warned: set[tuple[str, str]] = set()
_Class = TypeVar("_Class")
_Loaded = TypeVar("_Loaded")


class LumibotContractError(RuntimeError):
    """The installed Lumibot lacks something that the package relies on, or behaves in a way that it does not know.

    Parameters:
        part: the source ("polygon") or the other part of the package that relies on it.
        changes: what changed, a sentence each.
        remedy: what the user can do.
    """

    def __init__(self, part: str, changes: tuple[str, ...], remedy: str) -> None:
        super().__init__(f"{_changed(part, changes)} {remedy}")
        self.part = part
        self.changes = changes


def keeps_contract(part: str, *, otherwise: str) -> bool:
    """Return whether the installed Lumibot has all that a part relies on. If not, each consequence is logged once.

    Parameters:
        part: the source ("polygon") or other part ("activation").
        otherwise: what happens instead, a clause for the warning: "Lumibot's own class is used".

    Raises:
        LumibotContractError: `LUMIBOT_DUCKDB_STRICT` is true and something changed.
    """
    found = breaches(part)
    if found:
        _report(part, _sentences(found), otherwise, _remedy(found))
    return not found


def require(part: str) -> None:
    """Raise `LumibotContractError` unless the installed Lumibot has all that a part relies on."""
    if found := breaches(part):
        raise LumibotContractError(part, _sentences(found), _remedy(found))


def load_or_explain(part: str, load: Callable[[], _Loaded]) -> _Loaded:
    """Return what `load` imports; for code without a counterpart in Lumibot.

    Raises:
        LumibotContractError: the import failed, as it does on a release of Lumibot that lacks a name.
    """
    try:
        return load()
    except _CAUSED_BY_LUMIBOT as error:
        raise LumibotContractError(part, (_sentence(error),), _INSTALL) from error


def class_or_lumibots(part: str, ours: Callable[[], _Class], lumibots: Callable[[], _Class]) -> _Class:
    """Return our class of a source, imported by `ours`, or Lumibot's if the installed Lumibot breaks the contract.

    A change that no requirement foresaw shows when our module is imported, so errors of the import count as breaches.

    Raises:
        LumibotContractError: `LUMIBOT_DUCKDB_STRICT` is true and something changed.
    """
    otherwise = "Lumibot's own class is used, without the store"
    if not keeps_contract(part, otherwise=otherwise):
        return lumibots()
    try:
        return ours()
    except _CAUSED_BY_LUMIBOT as error:
        theirs = lumibots()  # if that cannot be imported either, its error is the one to see
        _report(part, (_sentence(error),), otherwise, _INSTALL, error)
        return theirs


def is_strict() -> bool:
    """Return whether breaches are errors. Raises ValueError if the environment variable is not understood."""
    value = os.environ.get(STRICT, "").strip().lower()
    if value not in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"{STRICT} must be true or false, not {value!r}")
    return value in ("1", "true", "yes", "on")


_INSTALL = "Install a supported release of Lumibot, or update lumibot-duckdb; `lumibot-duckdb doctor` has the details."
_SELF_TEST = "`lumibot-duckdb doctor` tests whether the new code gives the same results, and remembers it if so."


def _report(part: str, changes: tuple[str, ...], otherwise: str, remedy: str, cause: Exception | None = None) -> None:
    if is_strict():
        raise LumibotContractError(part, changes, remedy) from cause
    if (part, otherwise) not in _warned:
        _warned.add((part, otherwise))
        logger.warning("%s So %s. %s", _changed(part, changes), otherwise, remedy)


def _changed(part: str, changes: tuple[str, ...]) -> str:
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return (
        f"lumibot-duckdb ({part}) does not fit Lumibot {installed_release()} (supported: {known_releases()}): "
        f"{'; '.join(changes[:_SHOWN])}{more}."
    )


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _sentences(found: tuple[Breach, ...]) -> tuple[str, ...]:
    return tuple(map(str, found))


def _remedy(found: tuple[Breach, ...]) -> str:
    return _SELF_TEST if all(each.is_unknown_source for each in found) else _INSTALL
