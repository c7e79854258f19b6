"""Joins stored bars with a broker's answers, if both agree where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from lumibot_duckdb.live.warm_up.broker_frames import FrameForm, equal_bars, readjusted
from lumibot_duckdb.live.warm_up.stored_part import StoredPart
from lumibot_duckdb.storage.api import TimeRange
from lumibot_duckdb.storage.bars.coverage import common, in_ranges
from lumibot_duckdb.storage.times import bar_starts

Answer: TypeAlias = "tuple[TimeRange, pd.DataFrame | None]"
"""A requested range of bar starts, and what the broker returned."""


class CannotJoinError(Exception):
    """It is not certain in which form the broker would return the stored bars, or whether it would."""


class DifferentBarsError(Exception):
    """The broker has other bars than the store. `readjusted`: all its prices are adjusted otherwise."""

    def __init__(self, readjusted: bool) -> None:
        super().__init__("prices are adjusted otherwise" if readjusted else "some bars differ")
        self.readjusted = readjusted


@dataclass(frozen=True)
class Joined:
    """A frame in the broker's form, and how many of its bars are stored ones, and were compared with the broker's."""

    frame: pd.DataFrame
    form: FrameForm
    stored: int
    compared: int


def joined(part: StoredPart, wanted: TimeRange, answers: Sequence[Answer], known: FrameForm | None) -> Joined:
    """Return the bars of a range as one frame: the broker's where it was asked, stored ones elsewhere.

    Parameters:
        part: the stored bars.
        wanted: the range.
        answers: what the broker returned for ranges that, together with the stored pieces, make up the whole.
        known: the form of earlier answers for the same series.

    Raises:
        CannotJoinError, DifferentBarsError
    """
    form = _common_form(answers) or known
    if form is None:
        raise CannotJoinError("the broker returned no bars that would show their form")
    in_form = form.applied_to(part.bars)
    if in_form is None:
        raise CannotJoinError("the broker returns other columns than the store has, or other types")
    compared = sum(_compared(part, in_form, answer) for answer in answers)
    requested = in_ranges(part.starts, [request for request, _ in answers])
    stored = in_form[~requested]
    frames = [stored, *(_own_part(frame, request, wanted) for request, frame in answers if frame is not None)]
    filled = [frame for frame in frames if len(frame)]
    whole = pd.concat(filled).sort_index() if filled else stored
    return Joined(whole, form, len(stored), compared)


def _common_form(answers: Sequence[Answer]) -> FrameForm | None:
    """Return the form that all answers with bars have; None if there are none."""
    forms = {FrameForm.of(frame) for _, frame in answers if frame is not None and len(frame)}
    if None in forms or len(forms) > 1:
        raise CannotJoinError("the broker returned frames of several forms, or bars out of order")
    return next(iter(forms), None)


def _compared(part: StoredPart, in_form: pd.DataFrame, answer: Answer) -> int:
    """Compare an answer with the stored bars of its range; return how many these are."""
    request, frame = answer
    both = common(part.pieces, [request])
    ours = in_form[in_ranges(part.starts, both)]
    if frame is None or not len(frame):
        if len(ours):
            raise CannotJoinError("the broker returned no bars where the store has some")
        return 0
    theirs = frame[in_ranges(bar_starts(frame), both)]
    if not equal_bars(ours, theirs):
        raise DifferentBarsError(readjusted(ours, theirs))
    return len(ours)


def _own_part(frame: pd.DataFrame, request: TimeRange, wanted: TimeRange) -> pd.DataFrame:
    """Return the rows of an answer in its range, and those beyond the whole: brokers return some of these, too."""
    starts = bar_starts(frame)
    low = request.start if request.start > wanted.start else -(2**62)
    high = request.end if request.end < wanted.end else 2**62
    own: pd.DataFrame = frame[(starts >= low) & (starts < high)]
    return own
