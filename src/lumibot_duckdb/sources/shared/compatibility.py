"""Our class of a public name, or Lumibot's own where ours does not fit the installed release of Lumibot."""

from __future__ import annotations

from typing import Any

from lumibot_duckdb.lumibot_contract.enforcement import class_or_lumibots
from lumibot_duckdb.sources.registry import CLASSES, SPEC_OF_CLASS
from lumibot_duckdb.sources.shared.class_substitution import lumibot_class_for


def class_that_fits(name: str) -> type[Any]:
    """Return our class of a public name; Lumibot's own, with one warning, if it breaks our contract with Lumibot.

    Raises:
        KeyError: there is no public class of that name.
        LumibotContractError: the contract is broken, and `LUMIBOT_DUCKDB_STRICT=true`.
    """
    return class_or_lumibots(SPEC_OF_CLASS[name].name, CLASSES[name].load, lambda: lumibot_class_for(name))
