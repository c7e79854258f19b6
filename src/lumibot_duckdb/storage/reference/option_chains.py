"""Option chains: stored so that the same numbers are returned in the same order, and SQL can query the strikes.

A chain is an outline (JSON, with the expirations of each right) and a JSON list of strikes for each expiration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from lumibot_duckdb.storage.api import AssetKey, OptionChain
from lumibot_duckdb.storage.connection.cursor import StoreCursor
from lumibot_duckdb.storage.errors import InvalidRecordError
from lumibot_duckdb.storage.identity import published_name
from lumibot_duckdb.storage.stored_values import reading
from lumibot_duckdb.storage.times import aware_utc, calendar_day

_INCOMING = "lumibot_duckdb_strikes"
_OF_UNDERLYING = (
    "asset_symbol = ? AND asset_type = ? AND exchange = ? AND source = ? AND days_ahead IS NOT DISTINCT FROM ?"
)


@dataclass(frozen=True, slots=True)
class ChainTexts:
    """The stored form of a chain: `strikes` by right and expiration."""

    outline: str
    strikes: dict[tuple[str, str], str]

    @classmethod
    def of(cls, underlying: AssetKey, chain: Mapping[str, Any]) -> ChainTexts:
        """Return the texts for a chain. Raises `InvalidRecordError` if they would not give the same chain back."""
        try:
            rights = {right: list(expirations) for right, expirations in chain["Chains"].items()}
            texts = cls(
                _text({name: rights if name == "Chains" else value for name, value in chain.items()}),
                {(right, day): _text(chain["Chains"][right][day]) for right, days in rights.items() for day in days},
            )
            "".join(f"{right}{day}" for right, day in texts.strikes).encode()  # half of a surrogate pair is no text
            if texts.chain() == chain and all(isinstance(day, str) for _, day in texts.strikes):
                return texts
            reason = "it would not be returned unchanged"
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            reason = repr(error)
        raise InvalidRecordError(
            f"the option chain of {underlying.label()} cannot be stored ({reason}): give "
            '{"Multiplier": 100, "Exchange": "NYSE", "Chains": {"CALL": {"2024-01-19": [465.0, 470.0]}, "PUT": {}}}, '
            "with plain numbers and strings"
        )

    def chain(self) -> dict[str, Any]:
        """Return the chain, as a new object."""
        chain: dict[str, Any] = json.loads(self.outline)
        chain["Chains"] = {
            right: {day: json.loads(self.strikes[right, day]) for day in days}
            for right, days in chain["Chains"].items()
        }
        return chain


def keep_chain(
    cursor: StoreCursor,
    underlying: AssetKey,
    texts: ChainTexts,
    source: str,
    as_of: date,
    days_ahead: int | None,
    listed_at: datetime,
) -> None:
    """Store a chain in place of an earlier one for the same date and bound. `listed_at` is naive UTC."""
    of_underlying = _identity(underlying, source, days_ahead)
    day = _day(as_of)
    earlier = f"SELECT chain_id FROM {{db}}.option_chain WHERE {_OF_UNDERLYING} AND as_of = ?"
    for table in ("option_chain_strikes", "option_chain"):
        cursor.execute(f"DELETE FROM {{db}}.{table} WHERE chain_id IN ({earlier})", [*of_underlying, day])
    ((chain_id,),) = cursor.rows("SELECT coalesce(max(chain_id), 0) + 1 FROM {db}.option_chain")
    *asset_and_source, bound = of_underlying
    cursor.execute(
        "INSERT INTO {db}.option_chain VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [chain_id, *asset_and_source, day, bound, texts.outline, listed_at],
    )
    rows = [{"right": right, "expiration": day, "strikes": text} for (right, day), text in texts.strikes.items()]
    if rows:
        cursor.register(_INCOMING, pa.Table.from_pylist(rows))
        cursor.execute(f"INSERT INTO {{db}}.option_chain_strikes SELECT {chain_id}, * FROM {_INCOMING}")
        cursor.unregister(_INCOMING)


@dataclass(frozen=True, slots=True)
class StoredChain:
    """What the store has of a chain. `listed_at` is naive UTC."""

    as_of: date
    texts: ChainTexts
    listed_at: datetime

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return 500 + len(self.texts.outline) + sum(200 + len(text) for text in self.texts.strikes.values())

    def of(self, underlying: AssetKey, source: str, days_ahead: int | None) -> OptionChain:
        """Return the chain, as a new object."""
        with reading(f"the option chain of {underlying.label()} as of {self.as_of}"):
            return OptionChain(
                underlying, source, self.as_of, days_ahead, self.texts.chain(), aware_utc(self.listed_at)
            )


def newest_chain(
    cursor: StoreCursor, underlying: AssetKey, source: str, earliest: date, latest: date, days_ahead: int | None
) -> StoredChain | None:
    """Return the newest chain with this bound as of a date from `earliest` to `latest`."""
    found = cursor.rows(
        f"SELECT chain_id, as_of, outline, stored_at FROM {{db}}.option_chain WHERE {_OF_UNDERLYING} "
        "AND as_of BETWEEN ? AND ? ORDER BY as_of DESC LIMIT 1",
        [*_identity(underlying, source, days_ahead), _day(earliest), _day(latest)],
    )
    if not found:
        return None
    chain_id, as_of, outline, listed_at = found[0]
    strikes = cursor.rows(
        'SELECT "right", expiration, strikes FROM {db}.option_chain_strikes WHERE chain_id = ?', [chain_id]
    )
    return StoredChain(as_of, ChainTexts(outline, {(right, day): text for right, day, text in strikes}), listed_at)


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _identity(underlying: AssetKey, source: str, days_ahead: int | None) -> list[Any]:
    return [published_name(underlying), underlying.asset_type, underlying.exchange, source, days_ahead]


def _day(time: date) -> date:
    if not isinstance(time, date):
        raise InvalidRecordError(f"an option chain is as of a date, not as of {time!r}")
    return calendar_day(time)
