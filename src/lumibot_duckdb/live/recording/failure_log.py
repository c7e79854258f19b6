"""Logs each cause of failures once, and once more when it is over, with what was lost meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from lumibot_duckdb.live.recording.batch_writer import Fate, State
from lumibot_duckdb.live.recording.losses import Losses
from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.errors import HistoryRestatedError, StorageError

logger = logging.getLogger(__name__)

Cause: TypeAlias = "tuple[str, SeriesKey | None]"
"""What failed, and the series that it is about; None if it is about the store, or the queue."""
_FULL: Cause = ("a full queue", None)


@dataclass(slots=True)
class _Problem:
    """A cause that lasts, and what it has cost so far."""

    lost: Losses = field(default_factory=Losses)
    spooled: Losses = field(default_factory=Losses)


class FailureLog:
    """The causes that last. Use it from one thread at a time."""

    def __init__(self) -> None:
        self._open: dict[Cause, _Problem] = {}

    def report(self, fates: Iterable[Fate], dropped: Losses) -> None:
        """Log what is new: `fates` are those of a batch, and `dropped` is what found no room in the queue."""
        lasting, written = set[Cause](), set[SeriesKey | None]()
        for fate in fates:
            if fate.state is State.WRITTEN:
                written |= {fate.key, None}
            elif fate.error is not None:
                lasting.add(self._note(fate, fate.error))
        if dropped:
            lasting.add(self._note_dropped(dropped))
        for cause in [cause for cause in self._open if cause not in lasting]:
            if cause is _FULL or cause[1] in written:
                self._log_end(cause, self._open.pop(cause))

    def end(self) -> None:
        """Log what was lost for causes that last until the end."""
        for what, series in list(self._open):
            problem = self._open.pop((what, series))
            if problem.lost:
                logger.warning("live bars were lost until the recording ended (%s): %s", what, problem.lost.text())

    def _note(self, fate: Fate, error: BaseException) -> Cause:
        cause = _cause(error, fate.key)
        if cause not in self._open:
            self._open[cause] = _Problem()
            outcome = "wait beside the store" if fate.state is State.SPOOLED else "are lost"
            # An error that is not ours is a mistake in this package, or in what it was given.
            expected = isinstance(error, (StorageError, OSError))
            logger.warning("live bars %s: %s", outcome, error or cause[0], exc_info=None if expected else error)
        problem = self._open[cause]
        costs = problem.spooled if fate.state is State.SPOOLED else problem.lost
        costs.add(fate.key, fate.bars, fate.within)
        return cause

    def _note_dropped(self, dropped: Losses) -> Cause:
        if _FULL not in self._open:
            self._open[_FULL] = _Problem()
            logger.warning(
                "live bars are lost: they come faster than they are written, and the queue is full (%s so far)",
                dropped.text(),
            )
        self._open[_FULL].lost.update(dropped)
        return _FULL

    @staticmethod
    def _log_end(cause: Cause, problem: _Problem) -> None:
        costs = []
        if problem.lost:
            costs.append(f"lost, and not covered, so that a backfill requests them again: {problem.lost.text()}")
        if problem.spooled:
            costs.append(f"kept beside the store meanwhile: {problem.spooled.text()}")
        level = logging.WARNING if problem.lost else logging.INFO
        logger.log(level, "live bars are recorded again, after %s; %s", cause[0], "; ".join(costs))


def _cause(error: BaseException, key: SeriesKey) -> Cause:
    about_series = isinstance(error, (ValueError, TypeError, HistoryRestatedError))
    return type(error).__name__, key if about_series else None
