"""Option chains: kept as the JSON text that gives back the very same numbers and the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from lumibot_duckdb.storage.connection import StoreCursor
from lumibot_duckdb.storage.errors import InvalidRecordError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.interface import AssetKey, OptionChain

_OF_UNDERLYING = (
    "asset_symbol = ? AND asset_type = ? AND exchange = ? AND source = ? AND days_ahead IS NOT DISTINCT FROM ?"
)


def chain_text(underlying: AssetKey, chain: Mapping[str, Any]) -> str:
    """Return a chain as text. Raises `InvalidRecordError` for one that would not come back the same."""
    try:
        text = json.dumps(chain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"the option chain of {underlying.label()} cannot be kept as JSON: {error}") from None
    if json.loads(text) != chain:
        raise InvalidRecordError(
            f"the option chain of {underlying.label()} would not come back from JSON as it is: give dicts with texts "
            "as keys, lists, numbers and texts"
        )
    return text


def keep_chain(
    cursor: StoreCursor,
    underlying: AssetKey,
    text: str,
    source: str,
    as_of: date,
    days_ahead: int | None,
    now: datetime,
) -> None:
    """Keep a chain in place of an earlier one for the same date and bound; `now` is UTC, naive."""
    which = _identity(underlying, source, days_ahead)
    cursor.execute(f"DELETE FROM {{db}}.option_chain WHERE {_OF_UNDERLYING} AND as_of = ?", [*which, _day(as_of)])
    *asset_and_source, bound = which
    cursor.execute(
        "INSERT INTO {db}.option_chain VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [*asset_and_source, _day(as_of), bound, text, now],
    )


def newest_chain(
    cursor: StoreCursor, underlying: AssetKey, source: str, earliest: date, latest: date, days_ahead: int | None
) -> OptionChain | None:
    """Return the newest chain with this bound as of a date from `earliest` to `latest`."""
    found = cursor.rows(
        f"SELECT as_of, chain FROM {{db}}.option_chain WHERE {_OF_UNDERLYING} AND as_of BETWEEN ? AND ? "
        "ORDER BY as_of DESC LIMIT 1",
        [*_identity(underlying, source, days_ahead), _day(earliest), _day(latest)],
    )
    if not found:
        return None
    as_of, text = found[0]
    return OptionChain(underlying, source, as_of, days_ahead, json.loads(text))


def _identity(underlying: AssetKey, source: str, days_ahead: int | None) -> list[Any]:
    return [published_name(underlying), underlying.asset_type, underlying.exchange, source, days_ahead]


def _day(time: date) -> date:
    if not isinstance(time, date):
        raise InvalidRecordError(f"an option chain is as of a date, not as of {time!r}")
    return time.date() if isinstance(time, datetime) else time
