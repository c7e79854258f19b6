"""How many examples Hypothesis tries: a few in `make test`, many times as many in `make soak`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

FACTOR = float(os.environ.get("LUMIBOT_DUCKDB_EXAMPLES", "0.25"))
_LEAST = 5


def examples(count: int, **more: Any) -> settings:
    """Return settings without a deadline: `count` examples times `FACTOR`, which is less than one in `make test`.

    However small the factor, there are five; or half of `count`, where each example takes long and `count` is small.
    """
    least = min(_LEAST, max(2, count // 2))
    return settings(max_examples=max(least, round(count * FACTOR)), deadline=None, **more)
