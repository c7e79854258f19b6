"""How the parameters of a sweep are chosen: all combinations, random ones, or by Optuna."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lumibot_duckdb.sweeps.errors import SweepError
from lumibot_duckdb.sweeps.search.sampler import Sampler
from lumibot_duckdb.sweeps.search.space import Space

SearchKind = Literal["grid", "random", "optuna"]


@dataclass(frozen=True)
class Search:
    """A kind of search.

    Attributes:
        kind: All combinations, random ones, or those that Optuna proposes.
        trials: How many trials run, if it is not a grid.
        seed: The seed of random numbers.
        sampler: The sampler of Optuna: a name, also with options, such as "tpe:n_startup_trials=20"; or an object.
        pruner: The pruner of Optuna, likewise. It ends trials whose equity is worse than that of others.
    """

    kind: SearchKind = "grid"
    trials: int | None = None
    seed: int = 0
    sampler: Any = "tpe"
    pruner: Any = "none"

    def __post_init__(self) -> None:
        if self.kind not in ("grid", "random", "optuna"):
            raise SweepError(f"search={self.kind!r} is not known: choose grid, random or optuna")
        if self.kind == "grid" and self.trials is not None:
            raise SweepError(f"a grid runs all combinations, not {self.trials}: leave trials out, or choose random")
        if self.kind != "grid" and self.trials is None:
            raise SweepError(f"how many trials shall the {self.kind} search run? Add trials=200")
        if self.kind != "optuna" and (self.sampler, self.pruner) != ("tpe", "none"):
            raise SweepError("samplers and pruners are Optuna's: choose its search, too")

    @property
    def prunes(self) -> bool:
        """Whether trials may be ended by their equity."""
        return not (isinstance(self.pruner, str) and self.pruner == "none")

    def new_sampler(self, space: Space, *, minimize: bool) -> Sampler:
        """Return a new sampler. Raises `SearchError` if the space does not suit it."""
        if self.kind == "grid":
            from lumibot_duckdb.sweeps.search.grid import GridSearch

            return GridSearch(space)
        assert self.trials is not None
        if self.kind == "random":
            from lumibot_duckdb.sweeps.search.random_search import RandomSearch

            return RandomSearch(space, self.trials, self.seed)
        from lumibot_duckdb.sweeps.search.optuna_search import OptunaSearch

        return OptunaSearch(
            space, self.trials, seed=self.seed, minimize=minimize, sampler=self.sampler, pruner=self.pruner
        )

    def most_trials(self, space: Space) -> int:
        """Return a number that no trial's number exceeds."""
        most = self.trials if self.trials is not None else space.size
        assert most is not None  # a grid has no intervals
        return most

    def as_json(self) -> dict[str, Any]:
        """Return what a resumed sweep must have unchanged."""
        seed = None if self.kind == "grid" else self.seed
        found: dict[str, Any] = {"search": self.kind, "trials": self.trials, "seed": seed}
        if self.kind == "optuna":
            found |= {"sampler": _name(self.sampler), "pruner": _name(self.pruner)}
        return found


def _name(of_optuna: Any) -> str:
    return of_optuna if isinstance(of_optuna, str) else type(of_optuna).__name__
