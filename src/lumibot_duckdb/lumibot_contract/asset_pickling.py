"""Assets in pickles for other processes: Lumibot keeps the hash of an asset, which differs between processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

_HASH = "_cached_hash"


def asset_reduction(value: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    """Return how an asset is made again from a pickle, with the hash of the process that reads it; None for others."""
    from lumibot.entities import Asset

    if not isinstance(value, Asset):
        return None
    return _made_again, (type(value), {name: each for name, each in vars(value).items() if name != _HASH})


def _made_again(kind: type[Any], state: Mapping[str, Any]) -> Any:
    known = inspect.signature(kind.__init__).parameters
    asset = kind(**{name: value for name, value in state.items() if name in known})
    vars(asset).update(state)
    return asset
