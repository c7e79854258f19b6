"""Pickles of strategies and their arguments for another process on this machine."""

from __future__ import annotations

import io
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # the class may be one of a script or a notebook

from lumibot_duckdb.lumibot_contract.asset_pickling import asset_reduction
from lumibot_duckdb.sweeps.trials.target import ClassTarget


def pickled_backtest(target: ClassTarget) -> bytes:
    """Return a pickle of a strategy and the arguments of its backtest, which plain `pickle` can read."""
    file = io.BytesIO()
    _Pickler(file).dump((target.strategy, dict(target.arguments)))
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        return asset_reduction(obj) or super().reducer_override(obj)
