"""The moment as of which all sources of this process read the store, although they download what is missing.

All backtests of a sweep read as of its start. Bars that were stored then are read in the version of that moment, which
never changes. A range that had not been requested then is downloaded as usual, by the first backtest that needs it. So
what a backtest sees does not depend on what other backtests, or other processes, have written since: the provider's
bars are added to the same version, and if that is no longer the current one, the download is refused. What lies after
the moment is never requested, because its bars would depend on when a backtest runs.

`as_of` of a single source is stricter: it downloads nothing at all.
"""

from __future__ import annotations

from datetime import date, datetime

from lumibot_duckdb import clock

_moment: datetime | None = None


def read_as_of(moment: datetime) -> None:
    """Let all sources that are constructed from now on read as of a moment (tz-aware), until this process ends."""
    global _moment
    _moment = moment


def reading_moment() -> datetime | None:
    """Return the moment; None if the sources read the present state of the store."""
    return _moment


def day_of_reading() -> date:
    """Return the day on which a stored answer has to be valid: that of the moment, or else today."""
    return clock.today() if _moment is None else _moment.astimezone().date()
