"""Our class of a public name, or Lumibot's own where ours does not fit the installed release of Lumibot."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lumibot_duckdb.sources.registry import CLASSES, SPEC_OF_CLASS
from lumibot_duckdb.sources.shared.class_substitution import lumibot_class_for

_CONTRACT = "lumibot_duckdb.lumibot_contract.fallback"


def class_that_fits(name: str) -> type[Any]:
    """Return our class of a public name; Lumibot's own, with one warning, if it breaks our contract with Lumibot.

    Raises:
        KeyError: there is no public class of that name.
        LumibotContractError: the contract is broken, and `LUMIBOT_DUCKDB_STRICT=true`.
    """
    spec, named = SPEC_OF_CLASS[name], CLASSES[name]
    if find_spec(_CONTRACT) is None:
        return named.load()
    chosen: type[Any] = import_module(_CONTRACT).class_or_lumibots(
        spec.name, named.load, lambda: lumibot_class_for(name)
    )
    return chosen
