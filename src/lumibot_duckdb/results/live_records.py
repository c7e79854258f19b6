"""What is stored of a session of live trading, as tables that grow while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from lumibot_duckdb.results.records import EQUITY_SCHEMA, TRADES_SCHEMA

SessionStatus = Literal["running", "complete", "failed", "interrupted"]
"""A session whose process was killed stays `running` until the next session of its strategy begins."""

_MOMENT = pa.timestamp("us", "UTC")

LIVE_TRADES_SCHEMA = TRADES_SCHEMA.append(pa.field("order_id", pa.string()))
"""Trade events, as of a backtest, with the broker's identifier of the order."""

LIVE_ORDERS_SCHEMA = pa.schema(
    [
        ("time", _MOMENT),
        ("order_id", pa.string()),
        ("asset", pa.string()),
        ("side", pa.string()),
        ("type", pa.string()),
        ("quantity", pa.float64()),
        ("limit_price", pa.float64()),
        ("stop_price", pa.float64()),
    ]
)
"""Orders, each when it was first seen."""

LIVE_REQUESTS_SCHEMA = pa.schema(
    [
        ("request", pa.int64()),
        ("time", _MOMENT),
        ("method", pa.string()),  # "history" or "last_price"
        ("asset", pa.string()),
        ("timestep", pa.string()),
        ("length", pa.int64()),
        ("arguments", pa.string()),
        ("bars", pa.int64()),
        ("first_bar", _MOMENT),
        ("last_bar", _MOMENT),
        ("digest", pa.string()),
        ("price", pa.float64()),
        ("error", pa.string()),
    ]
)
"""Requests of the strategy for bars and prices, and what they returned."""

LIVE_BARS_SCHEMA = pa.schema(
    [
        ("request", pa.int64()),
        ("time", _MOMENT),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume")),
        ("gone", pa.bool_()),
    ]
)
"""Bars that a request returned and the one before it did not."""

LIVE_TABLES: Mapping[str, pa.Schema] = {
    "equity": EQUITY_SCHEMA,
    "trades": LIVE_TRADES_SCHEMA,
    "live_orders": LIVE_ORDERS_SCHEMA,
    "live_requests": LIVE_REQUESTS_SCHEMA,
    "live_bars": LIVE_BARS_SCHEMA,
}
"""The tables of a session in the results database."""


@dataclass(frozen=True)
class LiveSessionRecord:
    """A session of live trading that begins.

    Attributes:
        session_id: Unique, so that a session that is begun twice is stored once.
        name: The name that it gets, with a number if earlier sessions have it.
        strategy: The name of the strategy.
        script: The command that runs the script; None if it is unknown.
        settings: The broker, the parameters and so on, as JSON values.
        started: When it began (tz-aware).
        store: The path of the store in which its bars are recorded; None if they are not.
    """

    session_id: str
    name: str
    strategy: str
    script: str | None
    settings: Mapping[str, Any]
    started: datetime
    store: str | None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveBatch:
    """Rows of a session that are stored together.

    Attributes:
        number: Counts the batches of a session from 1.
        tables: Rows by the names of `LIVE_TABLES`; tables without rows may be left out.
        lost: How many rows could not be kept before this batch.
    """

    number: int
    tables: Mapping[str, pa.Table]
    lost: int = 0


@dataclass(frozen=True)
class StoredSession:
    """A session in a results database.

    Attributes:
        record: What was stored when it began; `name` is the name that it got.
        status: See `SessionStatus`.
        updated: When it last wrote something, in UTC.
        ended: When it ended, in UTC; None while it runs.
        lost: How many rows could not be kept.
    """

    record: LiveSessionRecord
    status: SessionStatus
    updated: datetime
    ended: datetime | None
    lost: int
