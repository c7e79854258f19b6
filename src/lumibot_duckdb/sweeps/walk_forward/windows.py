"""Walk-forward windows: the best parameters of one period are tried in the next one."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from lumibot_duckdb.sweeps.search.errors import SearchError, did_you_mean
from lumibot_duckdb.sweeps.trials.trial import Span

_LENGTH = re.compile(r"([0-9]{1,6})\s*([A-Za-z])")
_MOST_DAYS, _MOST_MONTHS = 73_000, 2_400
_KEYS = ("train", "test", "anchored", "purge")
_FORM = "such as train=12M,test=3M with D, W, M or Y for days, weeks, months or years"


@dataclass(frozen=True)
class Length:
    """A number of calendar months, or of days."""

    months: int = 0
    days: int = 0

    @classmethod
    def of(cls, text: str) -> Length:
        """Return the length of a text.

        Raises:
            SearchError: It has another form, or is 0, or longer than 200 years.

        >>> Length.of("12M"), Length.of("1Y") == Length.of("12M"), Length.of("2W")
        (Length(months=12, days=0), True, Length(months=0, days=14))
        """
        found = _LENGTH.fullmatch(text.strip())
        if not found or found[2] not in "DdWwMYy":
            remedy = f"; write {found[1]}M for months" if found and found[2] == "m" else f"; write one {_FORM}"
            raise SearchError(f"{text} is not a length{remedy}")
        number, unit = int(found[1]), found[2].upper()
        length = cls(months=number * (12 if unit == "Y" else 1)) if unit in "MY" else cls(days=number * _DAYS[unit])
        if not number or length.days > _MOST_DAYS or length.months > _MOST_MONTHS:
            raise SearchError(f"{text} is not a length from one day to 200 years")
        return length

    def __str__(self) -> str:
        return f"{self.months}M" if self.months else f"{self.days}D"


_DAYS = {"D": 1, "W": 7}
_NONE = Length()


@dataclass(frozen=True)
class Window:
    """A period to search in, and the next one to try the best parameters in.

    Attributes:
        number: Its number, from 1.
        train: The in-sample period. Its end is not part of it.
        test: The out-of-sample period. Its end is not part of it.
    """

    number: int
    train: Span
    test: Span


@dataclass(frozen=True)
class WalkForward:
    """How the time of a backtest is divided.

    Attributes:
        train: How long the search looks back.
        test: How long the parameters are used then; the next window begins so much later.
        anchored: Whether all in-sample periods begin at the start of the backtest, so that they grow.
        purge: What is left out at the end of each in-sample period, so that nothing that begins there, such as a
            position or an indicator's target, ends out of sample. The in-sample period is shorter by it.

    >>> from datetime import datetime
    >>> for window in WalkForward.of("train=12M,test=6M").windows(datetime(2020, 1, 1), datetime(2022, 1, 1)):
    ...     print(window.number, window.train.start.date(), window.test.start.date(), window.test.end.date())
    1 2020-01-01 2021-01-01 2021-07-01
    2 2020-07-01 2021-07-01 2022-01-01
    """

    train: Length
    test: Length
    anchored: bool = False
    purge: Length = _NONE

    @classmethod
    def of(cls, text: str) -> WalkForward:
        """Return the division of a text such as `train=12M,test=3M,anchored,purge=5D`.

        Raises:
            SearchError: The text has another form. The message begins with it.
        """
        try:
            given = _options(text)
            missing = [key for key in ("train", "test") if key not in given]
            if missing:
                raise SearchError(f"{' and '.join(missing)} must be given, {_FORM}")
            purge = Length.of(given["purge"]) if "purge" in given else _NONE
            return cls(Length.of(given["train"]), Length.of(given["test"]), "anchored" in given, purge)
        except SearchError as error:
            raise SearchError(f"{text}: {error}") from None

    def windows(self, start: datetime, end: datetime) -> list[Window]:
        """Return the windows between the start and the end of a backtest.

        The out-of-sample periods follow one another without gaps. Months are those of the calendar, counted from the
        start: if it is the 31st, shorter months end sooner. Times of day stay the same on the clock of the time zone.
        The last out-of-sample period ends with the backtest; if less than half of it is left, it is dropped, so that
        the last window ends sooner than the backtest.

        Args:
            start: The start of the first in-sample period. With a time zone, or without one as `end`.
            end: The end of the backtest, which is not part of it.

        Raises:
            SearchError: Only one of the times has a time zone, no window fits, or nothing is left after `purge`.
        """
        if (start.tzinfo is None) != (end.tzinfo is None):
            raise SearchError(f"{start} and {end}: give both times with a time zone, or none")
        windows = list(self._windows(start, end))
        if not windows:
            raise SearchError(
                f"{self}: the backtest from {start:%Y-%m-%d} to {end:%Y-%m-%d} is too short for one window, which "
                f"needs data to {self._at(start, 1):%Y-%m-%d}; shorten train or test, or let the backtest begin sooner"
            )
        return windows

    def _windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        for index in count():
            test = Span(self._at(start, index), self._at(start, index + 1))
            if test.start >= end or (end - test.start) * 2 < test.end - test.start:
                return
            train = self._train(start, index)
            yield Window(index + 1, train, Span(test.start, min(test.end, end)))

    def _train(self, start: datetime, index: int) -> Span:
        begins = start if self.anchored else later(start, index * self.test.months, index * self.test.days)
        ends = self._at(start, index, self.purge)
        if ends <= begins:
            raise SearchError(f"{self}: nothing of the in-sample period is left after the purge; shorten it")
        return Span(begins, ends)

    def _at(self, start: datetime, tests: int, less: Length = _NONE) -> datetime:
        """Return the time that is one in-sample period and some out-of-sample periods after the start."""
        months = self.train.months + tests * self.test.months - less.months
        return later(start, months, self.train.days + tests * self.test.days - less.days)

    def __str__(self) -> str:
        anchored = ",anchored" if self.anchored else ""
        purge = f",purge={self.purge}" if self.purge != _NONE else ""
        return f"train={self.train},test={self.test}{anchored}{purge}"


def later(time: datetime, months: int, days: int) -> datetime:
    """Return the time some calendar months, and then some days, after another, at the same time of day.

    >>> later(datetime(2024, 1, 31, 9, 30), months=1, days=0)
    datetime.datetime(2024, 2, 29, 9, 30)
    """
    years, month = divmod(time.month - 1 + months, 12)
    year = time.year + years
    day = min(time.day, monthrange(year, month + 1)[1])
    moved = time.replace(year=year, month=month + 1, day=day, tzinfo=None) + timedelta(days=days)
    zone = time.tzinfo
    if zone is not None and hasattr(zone, "localize"):  # a zone of pytz has to find its offset anew
        localized: datetime = zone.localize(moved)
        return localized
    return moved.replace(tzinfo=zone)


def _options(text: str) -> dict[str, str]:
    """Return what a text gives, by its keys."""
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in _KEYS:
            raise SearchError(f"unknown option {key or 'without a name'}{did_you_mean(key, _KEYS)}")
        if key in given:
            raise SearchError(f"{key} is given twice")
        if bool(equals) == (key == "anchored"):
            raise SearchError("anchored has no value" if key == "anchored" else f"{key} needs a length, {_FORM}")
        given[key] = value
    return given
