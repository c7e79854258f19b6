"""Epoch seconds in SQL text, and the `TIMESTAMP_S` values that the store holds."""

from __future__ import annotations

from datetime import datetime

from lumibot_duckdb.storage.times import UTC, EpochSeconds, epoch_seconds, moment_of

# No bar lies outside of these; see the checks in `bars/input_checks.py`.
_FIRST_LITERAL = epoch_seconds(datetime(1, 1, 1, tzinfo=UTC))
_LAST_LITERAL = epoch_seconds(datetime(9999, 12, 31, tzinfo=UTC))


def timestamp_literal(time: EpochSeconds) -> str:
    """Return SQL for a time in the type of `bar.ts`, so that a comparison does not cast the column.

    >>> timestamp_literal(1704205800)
    "TIMESTAMP_S '2024-01-02T14:30:00'"
    """
    bounded = min(max(time, _FIRST_LITERAL), _LAST_LITERAL)
    return f"TIMESTAMP_S '{moment_of(bounded).replace(tzinfo=None).isoformat()}'"


def starts_between(start: EpochSeconds, end: EpochSeconds) -> str:
    """Return SQL for whether a bar starts in a range, which does not include its end.

    >>> starts_between(1704205800, 1704205860)
    "ts >= TIMESTAMP_S '2024-01-02T14:30:00' AND ts < TIMESTAMP_S '2024-01-02T14:31:00'"
    """
    return f"ts >= {timestamp_literal(start)} AND ts < {timestamp_literal(end)}"


def epoch_sql(time: str) -> str:
    """Return SQL for the epoch seconds (BIGINT) of a time, which is a column or another expression."""
    # The cast chooses microseconds: from release 2.0.1 on, DuckDB would use nanoseconds, which end in 2262.
    return f"epoch(({time})::TIMESTAMP)::BIGINT"
