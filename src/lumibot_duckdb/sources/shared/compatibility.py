"""Our class of a public name, or Lumibot's own where ours does not fit the installed release of Lumibot."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lumibot_duckdb.sources.registry import CLASSES, SPEC_OF_CLASS, SourceSpec
from lumibot_duckdb.sources.shared.class_substitution import lumibot_class_for
from lumibot_duckdb.sources.shared.environment import flag

STRICT = "LUMIBOT_DUCKDB_STRICT"
"""Environment variable: "true" raises where a source does not fit, instead of falling back to Lumibot's class."""

_CHECK = "lumibot_duckdb.lumibot_contract.check"

logger = logging.getLogger("lumibot.duckdb")


class IncompatibleLumibotError(ImportError):
    """A source does not fit the installed release of Lumibot; the message says why."""


def class_that_fits(name: str) -> type[Any]:
    """Return our class of a public name; Lumibot's own if ours does not fit, which is logged once for each source.

    Raises:
        KeyError: there is no public class of that name.
        IncompatibleLumibotError: ours does not fit, and `LUMIBOT_DUCKDB_STRICT=true`.
    """
    spec = SPEC_OF_CLASS[name]
    reason = check_contract(spec)
    if reason is None:
        return CLASSES[name].load()
    if flag(STRICT):
        raise IncompatibleLumibotError(f"{spec.title} does not fit this release of Lumibot: {reason}")
    _warn_once(spec.title, reason)
    return lumibot_class_for(name)


def check_contract(spec: SourceSpec) -> str | None:
    """Return why a source does not fit the installed release of Lumibot; None if it does."""
    if find_spec(_CHECK) is None:
        return None
    return "; ".join(map(str, import_module(_CHECK).breaches(spec.name))) or None


@cache
def _warn_once(title: str, reason: str) -> None:
    logger.warning(
        "%s runs on Lumibot's own storage, because lumibot-duckdb does not fit this release of Lumibot: %s. "
        "Update lumibot-duckdb, or install a release of Lumibot that it supports",
        title,
        reason,
    )
