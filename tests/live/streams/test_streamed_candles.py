"""Which candles of a stream have closed: examples, and random streams against what the exchange really traded."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb.live.streams.streamed_candles import Candle, StreamedCandles
from lumibot_duckdb.storage.api import TimeRange

LATE, SETTLE = 1.0, 10.0


def candle(start: int, volume: float = 1.0, close: float = 5.0) -> Candle:
    return Candle(start, 1.0, 9.0, 0.5, close, volume)


def connected(now: float = 30.0) -> StreamedCandles:
    candles = StreamedCandles(60, late_seconds=LATE, settle_seconds=SETTLE)
    candles.connect(now)
    return candles


def confirmed(candles: StreamedCandles, until: int) -> StreamedCandles:
    """Let REST confirm everything up to a time."""
    candles.confirm(TimeRange(0, until), [candle(start) for start in range(0, until, 60)])
    return candles


def hear_whole(candles: StreamedCandles, *starts: int) -> None:
    """Let the stream send candles from their beginnings to their ends."""
    for start in starts:
        candles.hear([candle(start)], start, at=start)
        candles.hear([candle(start)], start + 58, at=start + 58)


def test_a_candle_closes_when_a_newer_one_has_been_there_for_a_moment() -> None:
    candles = confirmed(connected(), 60)
    candles.hear([candle(0)], 59, at=59)
    candles.hear([candle(60, 1), candle(60, 2)], 70, at=70)
    assert candles.take_closed(at=119) == []
    candles.hear([candle(120, 1)], 120, at=120)
    assert candles.take_closed(at=120.9) == []
    candles.hear([candle(60, 3)], 121, at=120.9)  # overtaken by the newer candle
    assert candles.take_closed(at=121) == [candle(60, 3)]
    assert candles.take_closed(at=200) == []
    assert candles.take_corrections() == []


def test_the_first_candle_of_a_connection_is_left_to_rest() -> None:
    candles = connected()
    hear_whole(candles, 0, 60, 120, 180)
    assert candles.take_closed(at=182) == []
    assert candles.unconfirmed(69.9) is None
    assert candles.unconfirmed(70) == TimeRange(0, 60)
    assert candles.confirm(TimeRange(0, 60), [candle(0)]) == (TimeRange(0, 60), [candle(0)])
    assert candles.take_closed(at=182) == [candle(60), candle(120)]


def test_a_hole_waits_for_rest_and_so_do_the_candles_behind_it() -> None:
    candles = confirmed(connected(), 60)
    hear_whole(candles, 0, 60, 180, 240)
    assert candles.take_closed(at=302) == []
    assert candles.unconfirmed(250) == TimeRange(60, 240)
    found = [candle(60), candle(180)]
    assert candles.confirm(TimeRange(60, 240), found) == (TimeRange(60, 240), found)


def test_a_candle_whose_end_may_have_been_lost_is_left_to_rest() -> None:
    candles = confirmed(connected(), 60)
    candles.hear([candle(0)], 59, at=59)
    candles.hear([candle(60)], 114, at=114)
    candles.hear([candle(120)], 120, at=120)  # after six seconds of silence
    assert candles.take_closed(at=125) == []
    assert candles.unconfirmed(130) == TimeRange(60, 120)
    candles.hear([candle(60)], 121, at=121)  # it did not change any more
    assert candles.take_closed(at=125) == [candle(60)]


def test_no_candles_prove_nothing_and_rest_is_asked_less_often() -> None:
    candles = connected()
    asked = []
    for now in range(70, 7_200, 10):
        if (wanted := candles.unconfirmed(now)) is not None:
            asked.append(now)
            assert wanted.start == 0
            assert candles.confirm(wanted, []) is None
            candles.postpone(now)
    assert [later - sooner for sooner, later in pairwise(asked)][:4] == [10, 20, 40, 80]
    assert max(later - sooner for sooner, later in pairwise(asked)) == 900
    candles.hear([candle(7_200)], 7_201, at=7_201)
    assert candles.unconfirmed(7_205) == TimeRange(0, 7_140)


def test_a_clock_that_is_set_back_does_not_prolong_the_pause() -> None:
    candles = connected()
    candles.postpone(100_000)
    assert candles.unconfirmed(120) == TimeRange(0, 60)


def test_a_candle_of_the_future_does_not_close_others() -> None:
    candles = confirmed(connected(), 60)
    candles.hear([candle(0)], 59, at=59)
    candles.hear([candle(60)], 60, at=60)
    assert candles.hear([candle(60), candle(120)], 116, at=70)  # the exchange's clock, or ours, is wrong
    assert candles.take_closed(at=100) == []
    assert not candles.hear([], 120, at=101)  # ours was
    assert candles.take_closed(at=103) == [candle(60)]


def test_corrections_need_more_volume() -> None:
    candles = confirmed(connected(), 120)
    candles.hear([candle(60, 0.5), candle(60, 1.0, close=6.0)], 130, at=130)
    assert candles.take_corrections() == []
    candles.hear([candle(60, 2.0)], 130, at=130)
    assert candles.take_corrections() == [candle(60, 2.0)]
    candles.hear([candle(60, 2.0), candle(60, 1.5)], 130, at=130)
    assert candles.take_corrections() == []


def test_volumes_that_are_unknown() -> None:
    candles = confirmed(connected(), 60)
    unknown = candle(60, math.nan)
    candles.hear([candle(0, math.nan)], 59, at=59)
    candles.hear([unknown, unknown._replace(close=6.0)], 118, at=118)
    candles.hear([candle(120, math.nan)], 120, at=120)
    (closed,) = candles.take_closed(at=122)
    assert (closed.close, math.isnan(closed.volume)) == (6.0, True)
    candles.hear([unknown._replace(close=6.0)], 122, at=122)
    assert candles.take_corrections() == []


def test_candles_of_odd_times_and_from_before_the_stream_are_ignored() -> None:
    candles = connected(now=600)
    assert not candles.hear([candle(0), candle(540), candle(601)], 610, at=610)
    assert candles.take_corrections() == []
    assert candles.take_closed(at=700) == []


def test_silence_is_noticed_by_the_first_trade() -> None:
    candles = confirmed(connected(), 60)
    assert candles.missed([candle(0)]) is None  # the connection began in it
    assert candles.missed([candle(60, volume=0.0)]) is None
    assert candles.missed([candle(60, 0.0), candle(120, 1.0)]) == candle(120, 1.0)
    candles.hear([candle(120)], 120, at=120)
    assert candles.missed([candle(60), candle(120)]) is None
    assert candles.missed([candle(180)]) == candle(180)
    candles.hear([candle(180)], 150, at=180)  # by a clock that is slow, it has not begun
    assert candles.missed([candle(180)]) is None


def test_after_a_long_absence_a_thousand_candles_are_requested() -> None:
    candles = confirmed(connected(), 60)
    candles.connect(60 * 5_000)
    assert candles.unconfirmed(60 * 5_000 + SETTLE) == TimeRange(60 * 4_000, 60 * 5_000)


# -- random streams ------------------------------------------------------------------------------------------


@dataclass
class Exchange:
    """A market that trades at random, and what its stream and its REST API say about that."""

    random: random.Random
    busy: float
    omits_empty: bool
    now: int = 30
    updates: dict[int, list[Candle]] = field(default_factory=dict)

    def trade(self) -> Candle | None:
        """Trade, perhaps, in this second."""
        start = self.now // 60 * 60
        if self.random.random() >= self.busy:
            return None
        before = self.updates.setdefault(start, [])
        price = float(self.random.randint(1, 99))
        last = before[-1] if before else Candle(start, price, price, price, price, 0.0)
        more = self.random.randint(1, 9)
        update = Candle(
            start,
            last.open,
            max(last.high, price),
            min(last.low, price),
            price,
            last.volume + more,
        )
        before.append(update)
        return update

    def rest(self, within: TimeRange) -> list[Candle]:
        """Return the candles of a range as they are now."""
        found = []
        for start in range(within.start, min(within.end, self.now + 1), 60):
            if self.updates.get(start):
                found.append(self.updates[start][-1])
            elif not self.omits_empty:
                found.append(Candle(start, 1.0, 1.0, 1.0, 1.0, 0.0))
        return found


@dataclass
class Listener:
    """Feeds candles as `CcxtStream` does, and checks what they return."""

    exchange: Exchange
    candles: StreamedCandles
    returned: dict[int, Candle] = field(default_factory=dict)
    covered: list[TimeRange] = field(default_factory=list)

    def look(self, updates: Sequence[Candle]) -> None:
        now = float(self.exchange.now)
        self.candles.hear(updates, now, now)
        closed = self.candles.take_closed(now)
        if closed:
            self._take(TimeRange(closed[0].start, closed[-1].start + 60), closed)
        assert self.candles.take_corrections() == []  # each was right when it was returned

    def ask(self) -> None:
        wanted = self.candles.unconfirmed(self.exchange.now)
        if wanted is None:
            return
        answer = self.exchange.rest(wanted)
        last = answer[-1].start + 60 if answer else wanted.start  # nothing is known of what follows the last one
        fresh = self.candles.confirm(TimeRange(wanted.start, last), answer)
        if fresh is not None:
            self._take(*fresh)
        if self.candles.next < wanted.end:
            self.candles.postpone(self.exchange.now)

    def _take(self, within: TimeRange, fresh: Sequence[Candle]) -> None:
        assert within.end <= self.exchange.now
        for each in fresh:
            assert within.start <= each.start < within.end
            assert each.start not in self.returned
            self.returned[each.start] = each
        if self.covered:
            assert within.start == self.covered[-1].end
        self.covered.append(within)


@given(
    seed=st.integers(0, 2**32),
    busy=st.sampled_from([0.005, 0.05, 0.5]),
    omits_empty=st.booleans(),
    trouble=st.sampled_from([0.0, 0.01, 0.05]),
)
@examples(60)
def test_random_streams_return_every_candle_once_and_right(
    seed: int, busy: float, omits_empty: bool, trouble: float
) -> None:
    rng = random.Random(seed)
    exchange = Exchange(rng, busy, omits_empty)
    listener = Listener(exchange, connected(exchange.now))
    late: list[Candle] = []
    silent_for = 0
    for second in range(1_500):
        exchange.now += 1
        update = exchange.trade()
        calm = second > 1_000
        if not calm and rng.random() < trouble / 10:
            late, silent_for = [], rng.randint(1, 200)  # lost; nothing is heard until the next connection
        if silent_for:
            silent_for -= 1
            if not silent_for:
                listener.candles.connect(exchange.now)
            continue
        heard, late = late, []
        if update is not None:
            if not calm and rng.random() < trouble and update.start == exchange.now // 60 * 60:
                late = [update]  # overtaken, but by less than a second
            else:
                heard = [update, *heard] if rng.random() < 0.5 else [*heard, update]
            if rng.random() < trouble:
                heard += rng.choices(exchange.updates[update.start], k=2)  # again, and older ones
        listener.look(heard)
        if calm or rng.random() > trouble * 5:  # otherwise REST is away
            listener.ask()
    closed = (exchange.now - 70) // 60 * 60
    expected = {each.start: each for each in exchange.rest(TimeRange(0, closed))}
    assert {start: each for start, each in listener.returned.items() if start < closed} == expected
