"""Pickles of strategies and their arguments for another process on this machine."""

from __future__ import annotations

import io
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # the class may be one of a script or a notebook

from lumibot_duckdb.lumibot_contract.asset_pickling import asset_reduction


def pickled(value: Any) -> bytes:
    """Return a pickle of a value, which plain `pickle` can read."""
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        return asset_reduction(obj) or super().reducer_override(obj)
