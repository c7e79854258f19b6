"""The checked arguments of a call of `store_ohlcv_data`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import index
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.storage.api import SeriesKey, TimeRange
from lumibot_duckdb.storage.errors import InvalidBarsError
from lumibot_duckdb.storage.times import UTC, utc_now

if TYPE_CHECKING:
    from lumibot_duckdb.storage.bars.input_checks import InputBars


@dataclass(frozen=True, slots=True)
class BarsWrite:
    """The arguments of `store_ohlcv_data`, checked. Moments are in UTC.

    `closed_at` is by when bars must have closed to be covered, if not by `asked_at`. `yields` means that this write has
    waited in the spool: it does not change bars that were requested after it.
    """

    key: SeriesKey
    bars: InputBars
    covered: TimeRange | None
    replace: bool
    metadata: Mapping[str, Any] | None
    onto: int | None
    asked_at: datetime
    also_covered: tuple[TimeRange, ...] = ()
    provisional: tuple[TimeRange, ...] | None = None
    yields: bool = False
    closed_at: datetime | None = None


def checked_range(key: SeriesKey, name: str, given: object) -> TimeRange:
    """Return an argument that is a range of time in whole seconds; raise `InvalidBarsError` for anything else."""
    if not isinstance(given, TimeRange):
        raise InvalidBarsError(
            f"{key.label()}: {name} is {given!r}, not a TimeRange; pass TimeRange(start, end) with its bounds in "
            "epoch seconds, for example TimeRange(1704153600, 1704240000)"
        )
    try:
        return TimeRange(index(given.start), index(given.end))
    except TypeError:
        raise InvalidBarsError(
            f"{key.label()}: the bounds of {name}, {given.start!r} and {given.end!r}, are not whole numbers; pass "
            "epoch seconds, for example int(datetime(2024, 1, 2, tzinfo=timezone.utc).timestamp())"
        ) from None


def checked_moment(key: SeriesKey, moment: object, name: str = "asked_at") -> datetime:
    """Return when something was requested, in UTC: now unless it is given. Raises `InvalidBarsError`."""
    if moment is None:
        return utc_now()
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        reason = "has no time zone" if isinstance(moment, datetime) else "is not a datetime"
        raise InvalidBarsError(
            f"{key.label()}: {name}, {moment}, {reason}; pass a tz-aware datetime, for example "
            "datetime.now(timezone.utc)"
        )
    return moment.astimezone(UTC)


def metadata_text(key: SeriesKey, metadata: Mapping[str, Any] | None) -> str | None:
    """Return metadata as the JSON text that is stored; raise `InvalidBarsError` if it cannot be written as JSON."""
    if not metadata:
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidBarsError(f"{key.label()}: the metadata is {metadata!r:.80}, not a dict")
    try:
        return json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    except RecursionError:
        raise InvalidBarsError(f"{key.label()}: the metadata is nested too deeply; make it flatter") from None
    except (TypeError, ValueError) as error:
        raise InvalidBarsError(f"{key.label()}: the metadata cannot be written as JSON: {error}") from None
