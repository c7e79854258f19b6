"""What the package relies on in Lumibot or pandas, as data that `lumibot_contract.check` can verify."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One non-public name, and what is relied on.

    Parameters:
        name: the module and the qualified name, "lumibot.entities.data:Data._get_bars_row_bounds". The class is the one
            whose body defines the name, or one derived from it. An attribute that only methods assign to `self` is
            named in the same way.
        why: what the package does with it, in a few words for a warning ("overridden to read windows").
        parameters: the names of all parameters in order, without `self` or `cls`; `*args` and `**kwargs` have their
            stars. None if it is not called.
        accepts: names of parameters that are used; there may be others. For functions with many parameters.
        digests: digests of source code that is known to behave as the package expects, for functions whose behaviour is
            re-implemented here. Empty if only the name and its parameters matter. `python -m
            lumibot_duckdb.lumibot_contract.digests` prints those of the installed release.
        formerly: the name of the same thing in older releases, whose parameters are not checked.
    """

    name: str
    why: str
    parameters: tuple[str, ...] | None = None
    accepts: tuple[str, ...] = ()
    digests: frozenset[str] = frozenset()
    formerly: str = ""

    @property
    def module(self) -> str:
        """The module part of the name."""
        return self.name.partition(":")[0]

    @property
    def modules(self) -> tuple[str, ...]:
        """All modules that decide whether it is met."""
        return tuple(name.partition(":")[0] for name in (self.name, self.formerly) if name)

    @property
    def path(self) -> str:
        """The qualified name within the module; empty if the module itself is required."""
        return self.name.partition(":")[2]
