"""Partial responses of any shape, against a plain model of what they prove."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage, clock
from lumibot_duckdb.sources.shared.downloaded_series import Delivery, DownloadedSeries
from lumibot_duckdb.sources.shared.evidence import Evidence, extent, unproven
from lumibot_duckdb.sources.shared.trading_hours import NEW_YORK_HOURS
from lumibot_duckdb.storage.api import AssetKey, SeriesKey, TimeRange
from lumibot_duckdb.storage.bars.coverage import Covered, closed_part, merged, missing, newly_covered

STEP, TIMEFRAME = 1_800, "30minute"
KEY = SeriesKey(AssetKey("AAA"), "acme", TIMEFRAME)
BEGIN, END = (int(pd.Timestamp(day, tz="America/New_York").timestamp()) for day in ("2024-03-04", "2024-03-23"))
SESSIONS = NEW_YORK_HOURS.sessions(dt.date(2024, 3, 4), dt.date(2024, 3, 22))
STARTS = [start for opens, closes in SESSIONS for start in range(opens, closes, STEP)]
NEVER = 10**6
HOUR, DAY = 3_600, 86_400
RECENT = 7 * DAY

delays = st.sampled_from([0, 0, 0, 3 * HOUR, 2 * DAY, 10 * DAY, 40 * DAY, NEVER * DAY])
waits = st.sampled_from([HOUR, 5 * HOUR, 20 * HOUR, DAY + HOUR, 8 * DAY, 31 * DAY])
places = st.integers(0, (END - BEGIN) // STEP)
requests = st.one_of(
    st.just((0, (END - BEGIN) // STEP)), st.tuples(places, places).map(lambda pair: (min(pair), max(pair) + 1))
)


@dataclass
class Model:
    """What is known of each possible bar: nothing, until when it is provisional, or `NEVER` if it is proven."""

    appears: dict[int, int]
    known: dict[int, int] = field(default_factory=dict)

    def bars(self, piece: TimeRange, now: int) -> list[int]:
        return [start for start in STARTS if piece.start <= start < piece.end and self.appears[start] <= now]

    def respond(self, piece: TimeRange, now: int) -> None:
        bars = self.bars(piece, now)
        closed = [start for start in STARTS if piece.start <= start < piece.end and start + STEP <= now]
        if bars:
            self.prove(start for start in closed if bars[0] <= start <= bars[-1])
            self.leave_open([start for start in closed if start < bars[0]], now)
            self.leave_open([start for start in closed if start > bars[-1]], now)
        else:
            self.leave_open(closed, now)

    def prove(self, starts: Any) -> None:
        self.known.update(dict.fromkeys(starts, NEVER * DAY))

    def leave_open(self, margin: list[int], now: int) -> None:
        for start in margin:
            until = now + (DAY if start >= (now - RECENT) // DAY * DAY else 30 * DAY)
            if start not in self.known:
                self.known[start] = until
            elif self.known[start] <= now:
                self.known[start] = NEVER * DAY

    def covered(self, now: int) -> set[int]:
        return {start for start, until in self.known.items() if until > now}

    def proven(self) -> set[int]:
        return {start for start, until in self.known.items() if until == NEVER * DAY}


@st.composite
def worlds(draw: Any) -> tuple[Model, list[tuple[int, tuple[int, int]]]]:
    """Return when each bar appears at the provider, and requests: how long after the one before, and for what."""
    appears: dict[int, int] = {}
    while len(appears) < len(STARTS):
        length, delay = draw(st.integers(5, 60)), draw(delays)
        appears.update({start: start + STEP + delay for start in STARTS[len(appears) : len(appears) + length]})
    ranges = draw(st.lists(requests, min_size=1, max_size=3))  # few, so that they are requested again
    return Model(appears), draw(st.lists(st.tuples(waits, st.sampled_from(ranges)), min_size=1, max_size=10))


def within(request: tuple[int, int]) -> TimeRange:
    return TimeRange(BEGIN + request[0] * STEP, BEGIN + request[1] * STEP)


def inside(ranges: list[TimeRange]) -> set[int]:
    return {start for start in STARTS if any(each.start <= start < each.end for each in ranges)}


@examples(200)
@given(worlds())
def test_what_responses_prove_and_leave_open(world: tuple[Model, list[tuple[int, tuple[int, int]]]]) -> None:
    model, asked = world
    now = BEGIN + 5 * DAY
    rows: list[Covered] = []
    for wait, request in asked:
        now += wait
        piece = within(request)
        starts = np.array(model.bars(piece, now), dtype=np.int64)
        left_open = unproven(piece, extent(starts, TIMEFRAME), NEW_YORK_HOURS, TIMEFRAME)
        closed = [
            [part for each in ranges if (part := closed_part(each, TIMEFRAME, now)) is not None]
            for ranges in (missing(piece, left_open), left_open)
        ]
        moment = dt.datetime.fromtimestamp(now, dt.timezone.utc)
        rows += newly_covered(rows, *closed, asked_at=moment, now=moment)
        model.respond(piece, now)
        for later in (now, now + 13 * HOUR, now + DAY + HOUR, now + 2 * DAY, now + 31 * DAY):
            believed = [each for each, until in rows if until is None or until.timestamp() > later]
            assert inside(believed) == model.covered(later)
        assert inside([each for each, until in rows if until is None]) == model.proven()


class Provider:
    """Answers with the bars that have appeared, a few days at a time in any order."""

    def __init__(self, model: Model, order: Any) -> None:
        self.model = model
        self.asked: list[TimeRange] = []
        self.now = 0
        self._order = order

    def __call__(self, pieces: list[TimeRange]) -> Iterator[Delivery]:
        self.asked += pieces
        cuts = [
            TimeRange(start, min(start + 4 * DAY, each.end))
            for each in pieces
            for start in range(each.start, each.end, 4 * DAY)
        ]
        for cut in self._order(cuts):
            starts = self.model.bars(cut, self.now)
            index = pd.DatetimeIndex(pd.Series(starts, dtype="int64").astype("M8[s]"), tz="UTC")
            yield Delivery(cut, pd.DataFrame({"close": 1.0}, index=index), {})


@pytest.mark.parametrize(
    "order", [list, lambda cuts: cuts[::-1], lambda cuts: cuts[::2] + cuts[1::2]], ids=["", "reversed", "mixed"]
)
@examples(6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
def test_backtests_request_what_is_not_known(
    world: tuple[Model, list[tuple[int, tuple[int, int]]]], order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is a backtest, which is repeated at once. How a response is cut in pieces makes no difference."""
    model, asked = world
    provider = Provider(model, order)
    now = BEGIN + 5 * DAY
    with tempfile.TemporaryDirectory() as folder:
        storage = DuckDBDataStorage(Path(folder) / "store.duckdb")
        for wait, request in asked:
            now += wait
            provider.now, provider.asked = now, []
            monkeypatch.setattr(clock, "utc_now", lambda now=now: dt.datetime.fromtimestamp(now, dt.timezone.utc))
            wanted = TimeRange(within(request).start, max(within(request).start, min(within(request).end, now)))
            DownloadedSeries(storage, KEY, hours=NEW_YORK_HOURS).ensure(wanted, provider)
            assert inside([wanted]) - model.covered(now) == inside(provider.asked)
            for piece in provider.asked:
                model.respond(piece, now)
            assert inside(storage.coverage(KEY, permanent_only=True)) == model.proven()
            assert inside(storage.coverage(KEY)) == model.covered(now)
            provider.asked = []
            DownloadedSeries(storage, KEY, hours=NEW_YORK_HOURS).ensure(wanted, provider)
            assert inside(provider.asked) <= {start for start in STARTS if start + STEP > now}
        storage.close()


@examples(100)
@given(worlds(), st.lists(places, max_size=8), st.randoms(use_true_random=False))
def test_the_order_and_the_cuts_of_a_download_do_not_matter(
    world: tuple[Model, list[tuple[int, tuple[int, int]]]], places: list[int], random: Any
) -> None:
    model, [(_, request), *_] = world
    piece, now = within(request), END
    cuts = {BEGIN + place * STEP for place in places}
    bounds = sorted({piece.start, piece.end, *(cut for cut in cuts if piece.start < cut < piece.end)})
    parts = [TimeRange(a, b) for a, b in pairwise(bounds)]
    random.shuffle(parts)
    evidence = Evidence(NEW_YORK_HOURS, TIMEFRAME)
    left_open: list[TimeRange] = []
    for part in parts:
        proof = evidence.add(part, np.array(model.bars(part, now), dtype=np.int64))
        left_open = [rest for each in left_open for rest in missing(each, proof.proven_before)]
        left_open += proof.provisional
    whole = extent(np.array(model.bars(piece, now), dtype=np.int64), TIMEFRAME)
    assert inside(merged(left_open)) == inside(unproven(piece, whole, NEW_YORK_HOURS, TIMEFRAME))
