"""Times in SQL: between whole seconds since 1970, as the package counts, and the TIMESTAMP_S that the store keeps."""

from __future__ import annotations

import numpy as np

# No bar is outside of these: see the checks in `bars_input`.
_FIRST_LITERAL = int(np.datetime64("0001-01-01", "s").astype(np.int64))
_LAST_LITERAL = int(np.datetime64("9999-12-31", "s").astype(np.int64))


def timestamp_literal(time: int) -> str:
    """Return SQL for a time in the type of `bar.ts`, so that comparing needs no cast of the column."""
    bounded = min(max(time, _FIRST_LITERAL), _LAST_LITERAL)
    return f"TIMESTAMP_S '{np.datetime64(bounded, 's')}'"


def epoch_seconds(time: str) -> str:
    """Return SQL for the seconds (BIGINT) of a time, a column or another expression."""
    # Microseconds, said so: from release 2.0.1 on DuckDB takes nanoseconds by itself, which end in 2262.
    return f"epoch(({time})::TIMESTAMP)::BIGINT"
