"""Sends the same requests to Lumibot's data source and ours, and compares the answers exactly.

Reusable by every source: a `Request` is what a strategy may ask, `ask` gets the `Answer` of one source at its current
time, `assert_same_answer` compares values, index (zone, unit, name, frequency), dtypes, columns, or exception types.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from lumibot.entities import Asset, Bars, Quote

LENGTHS = (1, 2, 3, 5, 14, 20, 60, 78, 200, 390, 1500)
MINUTE_STEPS = (
    "minute",
    "5min",
    "15 minutes",
    "30min",
    "7min",
    "13min",
    "hour",
    "2hour",
    "3 hours",
    "day",
    "2day",
    "3day",
)
HOUR_STEPS = ("hour", "2hour", "4h", "day", "2day")
DAY_STEPS = ("day", "2day", "5day")
NO_LENGTHS = (0, -1, -5, -60, 1)
"""Lengths that make no sense, to which Lumibot has answers, and one that does."""
TIMESHIFTS: tuple[Any, ...] = (
    None,
    0,
    0,
    0,
    1,
    5,
    -1,
    dt.timedelta(minutes=7),
    dt.timedelta(days=1),
    dt.timedelta(hours=2),
)
# How often each kind of request comes, out of a hundred or so.
KINDS: Mapping[str, int] = {
    "history": 60,
    "last_price": 10,
    "quote": 8,
    "between": 8,
    "data_bars": 8,
    "snapshot": 3,
    "dividend": 1,
    "chains": 1,
}


@dataclass(frozen=True)
class Request:
    """One request to a data source at a moment of the backtest."""

    when: dt.datetime
    kind: str
    asset: Asset
    quote: Asset | None = None
    length: int = 1
    timestep: str = "minute"
    timeshift: Any = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None


@dataclass(frozen=True)
class Answer:
    """The answer: a value, or the type of the exception."""

    value: Any = None
    error: type[BaseException] | None = None


def ask(source: Any, request: Request) -> Answer:
    """Set a source's clock and send the request."""
    source._datetime = request.when
    try:
        return Answer(_ask(source, request))
    except Exception as error:
        return Answer(error=type(error))


def _ask(source: Any, request: Request) -> Any:
    if request.kind == "history":
        return source.get_historical_prices(
            request.asset,
            request.length,
            timestep=request.timestep,
            timeshift=request.timeshift,
            quote=request.quote,
        )
    if request.kind == "between":
        return source._pull_source_symbol_bars_between_dates(
            request.asset, request.timestep, request.quote, start_date=request.start, end_date=request.end
        )
    if request.kind == "between_dates":
        return source.get_historical_prices_between_dates(
            request.asset, request.timestep, quote=request.quote, start_date=request.start, end_date=request.end
        )
    if request.kind == "last_price":
        return source.get_last_price(request.asset, quote=request.quote)
    if request.kind == "quote":
        return source.get_quote(request.asset, quote=request.quote)
    if request.kind == "data_bars":
        data = source._data_store[source.find_asset_in_data_store(request.asset, request.quote)]
        return data.get_bars(
            request.when, length=request.length, timestep=request.timestep, timeshift=request.timeshift
        )
    if request.kind == "snapshot":
        data = source._data_store[source.find_asset_in_data_store(request.asset, request.quote)]
        return data.get_price_snapshot(request.when)
    if request.kind == "dividend":
        return dict(source.get_yesterday_dividends([request.asset], quote=request.quote))
    if request.kind == "chains":
        return source.get_chains(request.asset)
    raise AssertionError(request.kind)


def real_answers(answers: Sequence[Answer]) -> int:
    """Return how many answers hold something to compare: no error, not None, and of frames at least one row."""
    return sum(answer.error is None and _is_real(answer.value) for answer in answers)


def _is_real(value: Any) -> bool:
    if isinstance(value, Bars):
        value = value.df
    return len(value) > 0 if isinstance(value, (pd.DataFrame, dict)) else value is not None


def assert_enough_real(answers: Sequence[Answer], share: float) -> None:
    """Fail if less than a share of the answers are real: that all others are equal would prove little."""
    real = real_answers(answers)
    assert real >= share * len(answers), f"only {real} of {len(answers)} answers are neither None, empty nor an error"


def assert_same_answer(request: Request, expected: Answer, actual: Answer) -> None:
    """Compare two answers exactly."""
    where = f"{request}"
    assert actual.error == expected.error, f"{where}: {expected.error} expected, got {actual.error} {actual.value!r}"
    _assert_same(expected.value, actual.value, where)


def _assert_same(expected: Any, actual: Any, where: str) -> None:
    if isinstance(expected, Bars):
        assert isinstance(actual, Bars), f"{where}: {expected!r} expected, got {actual!r}"
        assert_same_frame(expected.df, actual.df, where)
        assert (expected.symbol, expected.source, expected.asset, expected.quote) == (
            actual.symbol,
            actual.source,
            actual.asset,
            actual.quote,
        ), where
    elif isinstance(expected, pd.DataFrame):
        assert_same_frame(expected, actual, where)
    elif isinstance(expected, Quote):
        fields = vars(expected).keys()
        if expected.raw_data is None:
            fields -= {"timestamp"}  # nothing is known of the asset, and Lumibot stamps that with the wall clock
        _assert_same(
            {name: vars(expected)[name] for name in sorted(fields)},
            {name: vars(actual)[name] for name in sorted(fields)},
            where,
        )
    elif isinstance(expected, dict):
        assert list(expected) == list(actual), where
        for key in expected:
            _assert_same(expected[key], actual[key], f"{where}: {key}")
    else:
        assert type(expected) is type(actual), f"{where}: {expected!r} is not {actual!r}"
        assert _equal_or_both_missing(expected, actual), f"{where}: {expected!r} != {actual!r}"


def _equal_or_both_missing(expected: Any, actual: Any) -> bool:
    if isinstance(expected, (list, tuple, set)):
        return bool(expected == actual)
    if pd.isna(expected) or pd.isna(actual):
        return bool(pd.isna(expected) and pd.isna(actual))
    return bool(expected == actual)


def assert_same_frame(expected: pd.DataFrame, actual: pd.DataFrame, where: str) -> None:
    """Compare two frames to the last bit."""
    assert isinstance(actual, pd.DataFrame), f"{where}: {expected!r} expected, got {actual!r}"
    try:
        pd.testing.assert_frame_equal(expected, actual, check_exact=True, check_freq=True)
        assert expected.index.dtype == actual.index.dtype
        for name in expected.columns:
            if expected[name].dtype.kind == "f":
                bits = f"i{expected[name].dtype.itemsize}"
                left, right = (frame[name].to_numpy().view(bits) for frame in (expected, actual))
                nan = expected[name].isna().to_numpy()
                assert (left[~nan] == right[~nan]).all(), f"{name} differs in its bits"
    except AssertionError as error:
        raise AssertionError(f"{where}\n{error}\nexpected:\n{expected}\nactual:\n{actual}") from None


def random_requests(
    rng: random.Random,
    assets: Sequence[tuple[Asset, Asset | None]],
    index: pd.DatetimeIndex,
    count: int,
    steps: Sequence[str] = MINUTE_STEPS,
    *,
    kinds: Mapping[str, int] = KINDS,
    lengths: Sequence[int] = LENGTHS,
) -> Iterator[Request]:
    """Yield requests of a strategy whose clock mostly walks on, now and then jumps, and is not always on a bar."""
    position = rng.randrange(len(index))
    for _ in range(count):
        move = rng.random()
        if move < 0.7:
            position += rng.choice((0, 0, 1, 1, 1, 2, 5, 30))
        elif move < 0.9:
            position += rng.choice((60, 390, 1000))
        else:
            position = rng.randrange(len(index))
        position %= len(index)
        when = index[position].to_pydatetime()
        if rng.random() < 0.15:
            when += dt.timedelta(seconds=rng.choice((1, 30, 90, 3600 * 5, 86_400)), microseconds=rng.choice((0, 250)))
        asset, quote = rng.choice(list(assets))
        span = dt.timedelta(minutes=rng.choice((0, 1, 45, 600, 5000)), days=rng.choice((0, 0, 3)))
        yield Request(
            when=when,
            kind=rng.choices(tuple(kinds), tuple(kinds.values()))[0],
            asset=asset,
            quote=quote,
            length=rng.choice(lengths),
            timestep=rng.choice(list(steps)),
            timeshift=rng.choice(TIMESHIFTS),
            start=when - span,
            end=when + dt.timedelta(minutes=rng.choice((0, 1, 300))),
        )
