"""Makes rows of the results database of the events of a session.

A strategy that requests the last 60 bars each minute sees one new bar. So bars are stored when they are first seen or
change (`live_bars`), and `rebuilt_frames` puts together what each request returned.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from lumibot_duckdb.live.session.events import (
    PRICES,
    Event,
    OrderEvent,
    RequestEvent,
    SeenFrame,
    TradeEvent,
)
from lumibot_duckdb.results.live_records import LIVE_TABLES

_MOST_FRAMES = 2_000
"""Of how many kinds of requests the last frame is remembered."""
_KIND = ("asset", "timestep", "length", "arguments")
"""Columns of requests whose frames continue each other."""


class SessionRows:
    """Makes the rows of one session. Not for several threads at a time."""

    def __init__(self) -> None:
        self._requests = 0
        self._last: OrderedDict[tuple[Any, ...], SeenFrame] = OrderedDict()

    def tables(self, events: Iterable[Event]) -> dict[str, pa.Table]:
        """Return the rows of some events, which follow those of earlier calls, by the names of their tables."""
        rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        bars: list[pa.Table] = []
        for event in events:
            if isinstance(event, RequestEvent):
                self._requests += 1
                rows["live_requests"].append(self._request_row(event))
                if event.frame is not None:
                    bars.append(self._new_bars(event, event.frame))
            elif isinstance(event, OrderEvent):
                rows["live_orders"].append(event.row)
            else:
                rows["trades" if isinstance(event, TradeEvent) else "equity"].append(event.row)
        tables = {name: pa.Table.from_pylist(each, LIVE_TABLES[name]) for name, each in rows.items()}
        return {**tables, "live_bars": pa.concat_tables(bars)} if bars else tables

    def forget(self) -> None:
        """Store all bars of the next requests, because some rows were dropped."""
        self._last.clear()

    def _request_row(self, event: RequestEvent) -> dict[str, Any]:
        row = {
            "request": self._requests,
            **{name: getattr(event, name) for name in ("time", "method", *_KIND, "price", "error")},
        }
        if event.frame is None:
            return row
        row |= {"bars": len(event.frame.times), "digest": digest_of(event.frame)}
        if len(event.frame.times):
            row |= {"first_bar": int(event.frame.times[0]), "last_bar": int(event.frame.times[-1])}
        return row

    def _new_bars(self, event: RequestEvent, frame: SeenFrame) -> pa.Table:
        """Return the bars in which a frame differs from the last one of its kind."""
        kind = tuple(getattr(event, name) for name in _KIND)
        last = self._last.pop(kind, None)
        self._last[kind] = frame
        if len(self._last) > _MOST_FRAMES:
            self._last.popitem(last=False)
        changed = np.ones(len(frame.times), bool) if last is None else ~_in_both(frame, last)
        gone = np.array([], np.int64) if last is None else _no_longer(last, frame)
        return _bars(
            self._requests,
            np.concatenate([frame.times[changed], gone]),
            np.concatenate([frame.values[changed], np.full((len(gone), len(PRICES)), np.nan)]),
            np.concatenate([np.zeros(int(changed.sum()), bool), np.ones(len(gone), bool)]),
        )


def digest_of(frame: SeenFrame) -> str:
    """Return a digest of the times and values of bars, equal only for equal bars."""
    values = np.where(np.isnan(frame.values), np.nan, frame.values) + 0.0  # one NaN, and no -0.0
    return blake2b(frame.times.tobytes() + np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()


def rebuilt_frames(requests: pa.Table, bars: pa.Table) -> Iterator[tuple[dict[str, Any], SeenFrame | None]]:
    """Yield each request, with times in microseconds, and the bars that it returned.

    The frame is None if the request returned none, or if not all of its bars were kept.
    """
    changes = _changes(bars)
    last: dict[tuple[Any, ...], SeenFrame] = {}
    for row in _plain(requests).to_pylist():
        if row["bars"] is None:
            yield row, None
            continue
        kind = tuple(row[name] for name in _KIND)
        frame = _continued(last.get(kind), changes.get(row["request"]), row)
        last[kind] = frame
        yield row, frame if digest_of(frame) == row["digest"] else None


def _changes(bars: pa.Table) -> Mapping[int, tuple[Any, ...]]:
    """Return the times, values and `gone` of the bars that are stored for each request."""
    plain = _plain(bars)
    numbers = plain["request"].to_numpy()
    times, gone = plain["time"].to_numpy(), plain["gone"].to_numpy()
    values = np.column_stack([plain[name].to_numpy() for name in PRICES]) if len(plain) else np.empty((0, len(PRICES)))
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = np.append(starts, len(numbers))[1:]
    return {
        int(numbers[start]): (times[start:end], values[start:end].astype(float), gone[start:end].astype(bool))
        for start, end in zip(starts, ends, strict=True)
    }


def _continued(last: SeenFrame | None, changes: tuple[Any, ...] | None, row: Mapping[str, Any]) -> SeenFrame:
    """Return the last frame with its changes, from the first to the last bar of a request."""
    times = np.array([], np.int64) if last is None else last.times
    values = np.empty((0, len(PRICES))) if last is None else last.values
    if changes is not None:
        new = ~changes[2]
        is_whole = int(new.sum()) == row["bars"]  # as the first of its kind, or after some were forgotten
        kept = ~np.isin(times, changes[0]) & (not is_whole)
        times = np.concatenate([times[kept], changes[0][new]])
        values = np.concatenate([values[kept], changes[1][new]])
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    if row["first_bar"] is None:
        return SeenFrame(times[:0], values[:0])
    within = (times >= row["first_bar"]) & (times <= row["last_bar"])
    return SeenFrame(times[within], values[within])


def _in_both(frame: SeenFrame, last: SeenFrame) -> Any:
    """Return for each bar of a frame whether the last one had it with the same values."""
    if not len(last.times):
        return np.zeros(len(frame.times), bool)
    places = np.minimum(np.searchsorted(last.times, frame.times), len(last.times) - 1)
    one, other = frame.values, last.values[places]
    same = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return (last.times[places] == frame.times) & same


def _no_longer(last: SeenFrame, frame: SeenFrame) -> Any:
    """Return the times of bars of the last frame that lie between those of a frame, which does not have them."""
    if not len(frame.times):
        return frame.times
    within = (last.times >= frame.times[0]) & (last.times <= frame.times[-1])
    return np.setdiff1d(last.times[within], frame.times)


def _bars(request: int, times: Any, values: Any, gone: Any) -> pa.Table:
    schema = LIVE_TABLES["live_bars"]
    columns = [np.full(len(times), request), times, *values.T, gone]
    return pa.table([pa.array(each, field.type) for each, field in zip(columns, schema, strict=True)], schema=schema)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table with times as integers, in microseconds since 1970."""
    fields = [field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field for field in table.schema]
    return table.cast(pa.schema(fields))
