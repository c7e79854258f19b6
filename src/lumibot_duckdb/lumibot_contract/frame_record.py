"""Lumibot's record of the frames that a strategy received, which our sources keep with less work."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

_MODULE = "lumibot.backtesting.market_input_evidence"

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        f"{_MODULE}:MarketInputEvidence",
        "derived from, to keep the texts of rows",
        digests=frozenset(("9b214f1099a51ed1",)),
    ),
    Requirement(
        f"{_MODULE}:record_market_input", "how a source gets its record", digests=frozenset(("2944fe779fe6e68d",))
    ),
    Requirement(f"{_MODULE}:write_market_input_evidence", "reads the record", digests=frozenset(("57b3779542965fc1",))),
    Requirement(f"{_MODULE}:asset_identity", "called for the name of a series", parameters=("asset", "quote")),
    Requirement(
        f"{_MODULE}:_encoded", "called for JSON as Lumibot writes it", digests=frozenset(("1342db92bf71401c",))
    ),
    Requirement(
        f"{_MODULE}:_scalar", "the values of rows are written like this", digests=frozenset(("396987826ebc8036",))
    ),
)
