"""Decides which candles of a stream have closed, and which of them REST has to confirm. Pure: no network, no clock.

ccxt passes on the candles of a stream without saying whether they have closed. A candle counts as closed when its
market has a newer one. That is not enough in four cases, in which REST answers instead:

- The connection began during the candle, so what was heard of it may be less than the whole.
- The stream was silent for seconds before the newer candle, so the last update may have been lost.
- Candles are missing before a newer one. Nobody traded, or messages were lost.
- The candle's time is over, but the market is quiet and has no newer candle.

Times of candles are epoch seconds, and `at` is a time of `time.monotonic`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lumibot_duckdb.storage.api import EpochSeconds, TimeRange

KEPT_CANDLES = 64
"""How many of the latest candles are remembered, to notice corrections."""

_CATCH_UP_CANDLES = 1_000
_CLOCK_TOLERANCE = 1.0
_LONGEST_SILENCE = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 900.0


class Candle(NamedTuple):
    """A candle: its start in epoch seconds, prices and volume. What the exchange lacks is NaN."""

    start: EpochSeconds
    open: float
    high: float
    low: float
    close: float
    volume: float


class StreamedCandles:
    """The candles of one market, across connections. Each is returned once, in order, and again if it is corrected.

    Args:
        seconds: The length of a candle.
        late_seconds: How long to wait, once a newer candle has arrived, for updates that it overtook.
        settle_seconds: How long a candle must be over, by the exchange's clock, before REST is trusted with it.
    """

    def __init__(self, seconds: int, *, late_seconds: float, settle_seconds: float) -> None:
        self._seconds = seconds
        self._late_seconds = late_seconds
        self._settle_seconds = settle_seconds
        self._first: EpochSeconds | None = None
        self._next: EpochSeconds = 0
        self._returned: dict[EpochSeconds, Candle] = {}
        self._corrected: dict[EpochSeconds, Candle] = {}
        self._pause = 0.0
        self._paused_until = 0.0
        self._forget_connection(0)

    @property
    def next(self) -> EpochSeconds:
        """The start of the first candle that was not returned yet."""
        return self._next

    def connect(self, now: float) -> None:
        """Begin with a new connection, at a time of the exchange's clock.

        The current candle and those since the last returned one, at most a thousand, are left to REST. What the lost
        connection sent of them may be incomplete.
        """
        current = self._floor(now)
        if self._first is None:
            self._first = self._next = current
        self._next = max(self._next, current - _CATCH_UP_CANDLES * self._seconds)
        self._forget_connection(current)
        self._hurry()

    def _forget_connection(self, current: EpochSeconds) -> None:
        self._heard: dict[EpochSeconds, Candle] = {}
        self._heard_at: dict[EpochSeconds, float] = {}
        self._begun: dict[EpochSeconds, float] = {}
        self._updated: dict[EpochSeconds, float] = {}
        self._too_early: dict[EpochSeconds, Candle] = {}
        self._connected_in = current
        self._whole_from: EpochSeconds | None = None

    # -- the stream ------------------------------------------------------------------------------------------

    def hear(self, candles: Iterable[Candle], now: float, at: float) -> bool:
        """Take updates of candles, as the stream sent them.

        Candles that have not begun at `now`, a time of the exchange's clock, would make unfinished ones count as
        closed. They are put off, and True is returned: either they or the time are wrong.
        """
        oldest, latest = self._oldest_kept(), now + _CLOCK_TOLERANCE
        updates = [*self._too_early.values(), *candles]
        self._too_early = {candle.start: candle for candle in updates if candle.start > latest}
        for candle in updates:
            if candle.start > latest or candle.start < oldest or candle.start % self._seconds:
                continue
            known = self._heard.get(candle.start)
            if known is not None and candle.volume < known.volume:
                continue  # the volume of a candle grows, so this update was overtaken by a later one
            self._updated[candle.start] = now
            if known is None:
                self._heard_at[candle.start], self._begun[candle.start] = at, now
                self._hurry()
            elif _same(candle, known):
                continue
            self._heard[candle.start] = candle
            if candle.start < self._next:
                self._note_correction(candle)
        if self._whole_from is None and self._heard:
            self._whole_from = max(self._heard) + self._seconds
        return bool(self._too_early)

    def _note_correction(self, candle: Candle) -> None:
        """Note a candle in which more was traded than when it was returned."""
        returned = self._returned.get(candle.start)
        if candle.volume > (0.0 if returned is None else returned.volume):
            self._corrected[candle.start] = candle

    def take_closed(self, at: float) -> list[Candle]:
        """Return the candles that follow those returned before and have closed, as far as the stream shows it."""
        newest = max((start for start, heard in self._heard_at.items() if at - heard >= self._late_seconds), default=0)
        closed: list[Candle] = []
        while self._next < newest and self._is_whole(self._next):
            closed.append(self._heard[self._next])
            self._next += self._seconds
        self._remember(closed)
        return closed

    def _is_whole(self, start: EpochSeconds) -> bool:
        """Return whether the stream sent a candle from its beginning up to the beginning of the next one."""
        following, end = self._begun.get(start + self._seconds), start + self._seconds
        if start not in self._heard or following is None or self._whole_from is None or start < self._whole_from:
            return False
        sent_at_end = self._updated[start] >= end - _CLOCK_TOLERANCE  # some exchanges do, whether or not it has changed
        return sent_at_end or following - self._updated[start] <= _LONGEST_SILENCE

    def take_corrections(self) -> list[Candle]:
        """Return the candles that the stream changed after they were returned, in order."""
        corrected = [self._corrected[start] for start in sorted(self._corrected)]
        self._corrected.clear()
        self._remember(corrected)
        return corrected

    # -- REST ------------------------------------------------------------------------------------------------

    def unconfirmed(self, now: float) -> TimeRange | None:
        """Return the range of candles to request by REST at a time of the exchange's clock; None if there is none."""
        end = self._floor(now - self._settle_seconds)
        waits = 0 < self._paused_until - now <= _LONGEST_PAUSE  # a longer pause means that the clock was set back
        return None if waits or end <= self._next else TimeRange(self._next, end)

    def confirm(self, within: TimeRange, candles: Sequence[Candle]) -> tuple[TimeRange, list[Candle]] | None:
        """Take all candles that REST has within a range; return those that are new, and the range that they cover.

        No candles prove nothing: the exchange may still add some. None is returned then, and the range stays
        unconfirmed until a later candle proves that it was empty.
        """
        fresh = [candle for candle in candles if self._next <= candle.start < within.end]
        if not fresh:
            return None
        covered = TimeRange(max(within.start, self._next), within.end)
        self._next = within.end
        self._remember(fresh)
        self._hurry()
        return covered, fresh

    def postpone(self, now: float) -> None:
        """Wait before REST is asked again: 10 seconds, twice as long after each answer without candles, up to 15 min.

        A new candle in the stream ends the wait.
        """
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._paused_until = now + self._pause

    def _hurry(self) -> None:
        self._pause = self._paused_until = 0.0

    def missed(self, confirmed: Iterable[Candle]) -> Candle | None:
        """Return the first candle that was traded in while the connection was silent about it and all later ones."""
        known_until = max((*self._heard, *self._too_early), default=self._connected_in)
        return next((candle for candle in confirmed if candle.volume > 0 and candle.start > known_until), None)

    # -- memory ----------------------------------------------------------------------------------------------

    def _remember(self, returned: Sequence[Candle]) -> None:
        self._returned.update((candle.start, candle) for candle in returned)
        oldest = self._oldest_kept()
        for kept in (self._returned, self._heard, self._heard_at, self._begun, self._updated):
            for start in [start for start in kept if start < oldest]:
                del kept[start]

    def _oldest_kept(self) -> EpochSeconds:
        return max(self._first or 0, self._next - KEPT_CANDLES * self._seconds)

    def _floor(self, time: float) -> EpochSeconds:
        return int(time // self._seconds) * self._seconds


def _same(one: Candle, other: Candle) -> bool:
    return all(left == right or (left != left and right != right) for left, right in zip(one, other, strict=True))
