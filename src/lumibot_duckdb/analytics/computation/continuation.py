"""Computes indicators of a long history piece by piece, with the values that the whole history gives.

Each indicator keeps those bars before a piece on which its values still depend:

* a window, or a day: as many as the catalogue says;
* recursive indicators: so many that a computation that begins with them has come to the same numbers, to the last bit.
  This is compared, on the last bars and on invented ones after them, since a calm market can hide a difference;
* OBV and drawdown, which never forget: the last bar, with a number that stands for all bars before.

In the worst case an indicator keeps all bars. Pieces grow with what is kept, so that the work stays in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np

from lumibot_duckdb.analytics.bars import Bars, FloatArray
from lumibot_duckdb.analytics.computation.engine import Engine, Outputs, outputs
from lumibot_duckdb.analytics.requests import Request
from lumibot_duckdb.analytics.warm_up import Reach

_MOVES = np.outer([1e-6, 1e-3, 0.9], [1.0, 0.7, -1.0, -0.3]).ravel()
"""The invented closes, relative to the last one: moves of all sizes, and back, show what is left of earlier ones."""

_COMPARED = 32 + len(_MOVES)
_FIRST_TRY = 1_024
"""How many bars are tried first where the catalogue has no number."""

_STANDS_FOR_EARLIER: dict[str, Callable[[Bars, tuple[FloatArray, ...]], tuple[str, float]]] = {
    "obv": lambda bars, found: ("volume", float(found[0][-1])),
    "drawdown": lambda bars, found: ("close", float(bars.close.max())),
}
"""Indicators that continue from one bar: the column and the number in it, given the bars so far and their outputs."""


def in_pieces(
    engine: Engine, requests: Sequence[Request], bars: Iterable[Bars], rows_at_a_time: int
) -> Iterator[tuple[Bars, Outputs]]:
    """Yield the bars of a history, given in parts of any length, and the outputs of indicators for them."""
    continued = [_Continued(engine, request) for request in requests]
    rows: _Rows | None = None
    pieces = _pieces(bars, rows_at_a_time)
    for piece in pieces:
        if rows is not None:
            rows = rows.since(min(each.forget(rows) for each in continued))
            while len(piece) < rows.new and (more := next(pieces, None)) is not None:
                piece = _joined(piece, more)
        rows = _Rows.of(piece, rows)
        yield piece, {each.request: each.outputs(rows) for each in continued}


def _pieces(bars: Iterable[Bars], rows: int) -> Iterator[Bars]:
    """Yield equal pieces of each part, of up to so many rows."""
    for part in bars:
        count = -(-len(part) // rows)
        for begin, end in pairwise(np.linspace(0, len(part), count + 1).astype(int).tolist()):
            yield part.chosen(slice(begin, end))
        del part  # not needed while the next one is read


@dataclass(frozen=True, slots=True)
class _Rows:
    """Kept bars, from place `new` on those of a piece, and at the end invented ones.

    `number` is the place of the first one in the history.
    """

    bars: Bars
    number: int
    new: int

    @classmethod
    def of(cls, piece: Bars, kept: _Rows | None) -> _Rows:
        if kept is None:
            return cls(_joined(piece, _invented(piece)), 0, 0)
        return cls(_joined(kept.bars, piece, _invented(piece)), kept.number, kept.new)

    @property
    def end(self) -> int:
        """The place in the history after the last bar."""
        return self.number + len(self.bars) - len(_MOVES)

    def since(self, number: int) -> _Rows:
        """Return copies of the bars from a place in the history on, as kept ones before the next piece."""
        kept = self.bars.chosen(slice(number - self.number, len(self.bars) - len(_MOVES)))
        return _Rows(_joined(kept), number, len(kept))

    def from_(self, number: int, *, invented: bool) -> Bars:
        """Return the bars from a place in the history on."""
        return self.bars.chosen(slice(number - self.number, None if invented else len(self.bars) - len(_MOVES)))


class _Continued:
    """Computes one indicator, piece by piece."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.request = request
        self._engine = engine
        self._first = 0  # the place in the history of the first bar that is needed
        self._stands_for_earlier: tuple[str, float] | None = None
        self._last: list[FloatArray] = []  # the outputs for the last bars and the invented ones
        reach = request.warm_up.reach
        self._forgets = reach is Reach.RECURSIVE or (
            reach is Reach.ALL and request.indicator.name not in _STANDS_FOR_EARLIER
        )

    def outputs(self, rows: _Rows) -> tuple[FloatArray, ...]:
        """Return the outputs for the bars of a piece."""
        bars = rows.from_(self._first, invented=self._forgets)
        if self._stands_for_earlier is not None:
            bars = _with_first(bars, *self._stands_for_earlier)
        found = outputs(self._engine, self.request, bars)
        if self._forgets:
            self._last = [column[-_COMPARED:].copy() for column in found]
        elif self.request.indicator.name in _STANDS_FOR_EARLIER:
            self._stands_for_earlier = _STANDS_FOR_EARLIER[self.request.indicator.name](bars, found)
        new = rows.number + rows.new - self._first
        return tuple(column[new : new + rows.end - rows.number - rows.new] for column in found)

    def forget(self, rows: _Rows) -> int:
        """Return from which place in the history on bars are needed for the next piece."""
        reach = self.request.warm_up.reach
        if self._forgets:
            self._first = self._settled(rows)
        elif reach is Reach.BARS:
            self._first = self._begin(rows.end - int(self.request.warm_up.bars))
        elif reach is Reach.ALL:
            self._first = rows.end - 1
        else:
            days = rows.from_(self._first, invented=False).day_starts
            self._first += int(days[-1 if reach is Reach.DAY else max(-2, -len(days))])
        return self._first

    def _settled(self, rows: _Rows) -> int:
        """Return the last place, of some, from which on a computation has come to the same numbers by now."""
        bars = self.request.warm_up.bars
        count = 2 * int(bars) if isfinite(bars) else _FIRST_TRY
        while (begin := self._begin(rows.end - count)) > self._first:
            found = outputs(self._engine, self.request, rows.from_(begin, invented=True))
            # NaN is not equal to itself: where there is no value, nothing can be compared.
            if all(map(np.array_equal, self._last, (column[-_COMPARED:] for column in found))):
                return begin
            count *= 2
        return self._first

    def _begin(self, number: int) -> int:
        """Return the last place up to `number` at which sums over blocks begin, as they do in the whole history."""
        return max(0, number - number % self.request.warm_up.block)


def _invented(bars: Bars) -> Bars:
    """Return bars that could follow: the price moves a little, and then much."""
    last = bars.close[-1]
    closes = last + (abs(last) or 1.0) * _MOVES
    opens = np.append(last, closes[:-1])
    prices = {"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes), "close": closes}
    columns = {name: prices.get(name, np.ones(len(closes))) for name in bars.columns}
    return Bars(bars.times[-1] + np.arange(1, len(closes) + 1), columns, bars.zone)


def _joined(*parts: Bars) -> Bars:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Bars(np.concatenate([part.times for part in parts]), columns, parts[0].zone)


def _with_first(bars: Bars, name: str, value: float) -> Bars:
    column = bars.columns[name].copy()
    column[0] = value
    return Bars(bars.times, {**bars.columns, name: column}, bars.zone)
