"""Which trials have failed, and whether all of them fail alike, so that the rest of a sweep would, too."""

from __future__ import annotations

from collections.abc import Iterable

from lumibot_duckdb.results.records import TrialRecord

ENOUGH = 10
"""So many trials that fail alike, before any other result, end a sweep. A few combinations at the beginning of a grid
may well be unusable, and ten more trials cost little."""

_LIMITS = {"timeout": "they took longer than --timeout allows", "memory": "they needed more than --memory allows"}


def is_done(record: TrialRecord) -> bool:
    """Return whether a trial has ended as intended, rather than failed."""
    return record.status in ("complete", "pruned")


class CommonFailure:
    """Looks whether all trials of a sweep fail with one error.

    `earlier` are the trials of an earlier run. If one of them is done, later failures are not what all have in common.
    """

    def __init__(self, earlier: Iterable[TrialRecord] = ()) -> None:
        self.count = 0
        self._reason: str | None = None
        self._differs = any(map(is_done, earlier))

    def add(self, records: Iterable[TrialRecord]) -> None:
        """Take records of trials that have ended."""
        for record in records:
            reason = _reason(record)
            self._differs = self._differs or is_done(record) or (self.count > 0 and reason != self._reason)
            self._reason = reason
            self.count += 1

    @property
    def reason(self) -> str | None:
        """The error that all trials have failed with, once they are enough to say so."""
        return None if self._differs or self.count < ENOUGH else self._reason


def _reason(record: TrialRecord) -> str:
    """Return what two failures have in common. The texts of limits have numbers that differ."""
    return _LIMITS.get(record.status) or record.error or "no reason is known"
