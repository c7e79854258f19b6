"""What the package relies on in Lumibot or pandas, as data that `lumibot_contract.check` can verify."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One non-public name, and what is relied on.

    Parameters:
        name: the module and the qualified name, "lumibot.entities.data:Data._get_bars_row_bounds".
        why: what the package does with it, in a few words for a warning ("overridden to read windows").
        parameters: the parameter names that are passed or accepted, in order; None if it is not called.
        digests: SHA-256 digests of source code that is known to behave as the package expects, for functions whose
            behaviour is re-implemented here. Empty if only the name and its parameters matter.
    """

    name: str
    why: str
    parameters: tuple[str, ...] | None = None
    digests: frozenset[str] = frozenset()
