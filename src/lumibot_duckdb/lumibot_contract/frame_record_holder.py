"""Where a data source holds Lumibot's record of the frames that a strategy received."""

from __future__ import annotations

from typing import Any

_HELD = "_frame_record"


class RecordHolder:
    """Mix-in for a data source: `improved_record` may replace the record that Lumibot gives to the source.

    Lumibot makes a record when the first frame is recorded, keeps it on the source, and records that frame in it.
    Without a record it writes no files, so there is none before.
    """

    def improved_record(self, record: Any) -> Any:
        """Return the record to keep; it must be the same object."""
        return record

    @property
    def _market_input_evidence(self) -> Any:
        return self.__dict__.get(_HELD)

    @_market_input_evidence.setter
    def _market_input_evidence(self, record: Any) -> None:
        self.__dict__[_HELD] = self.improved_record(record)
