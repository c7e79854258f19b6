"""How many examples Hypothesis tries: a few in `make test`, many times as many in `make soak`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

FACTOR = int(os.environ.get("LUMIBOT_DUCKDB_EXAMPLES", "1"))


def examples(count: int, **more: Any) -> settings:
    """Return settings with `count` examples in `make test`, and no deadline."""
    return settings(max_examples=count * FACTOR, deadline=None, **more)
