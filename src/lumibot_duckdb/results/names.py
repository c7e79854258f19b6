"""Names of sweeps, recorded backtests and sessions."""

from __future__ import annotations

from lumibot_duckdb.results.errors import InvalidResultError

_LONGEST_NAME = 200


def check_name(name: str) -> None:
    """Raise `InvalidResultError` unless a sweep, a recorded backtest or a session can have this name."""
    usable = bool(name) and name == name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME
    if not usable or name.startswith("-"):
        raise InvalidResultError(
            f"{name!r} cannot be the name of a sweep or a session: use up to {_LONGEST_NAME} printable characters, "
            "with no space at either end and no hyphen at the beginning"
        )
