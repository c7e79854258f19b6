"""The file beside a store that has the days on which its series were read, for `prune` with a limit of size.

Reading must not write to the store. So each process appends one line for each series and day, "2024-01-31 7" for series
7, and ignores every error: without the file, the last write counts as the last use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress
from datetime import date
from pathlib import Path

from lumibot_duckdb.storage.times import utc_now

_LINE = re.compile(rb"^(\d{4}-\d\d-\d\d) (\d{1,10})$", re.MULTILINE)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class LastUse:
    """On which day (UTC) each series of a store was last read, by any process; a replica has no such record."""

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + ".use")
        self.of_replica = False
        self._day: date | None = None
        self._recorded: set[int] = set()

    @property
    def recorded(self) -> frozenset[int]:
        """The ids of the series that this process has read on the last day on which it has read any."""
        return frozenset(self._recorded)

    def record(self, series_id: int) -> None:
        """Record that a series is read today."""
        today = utc_now().date()
        if today != self._day:
            self._day, self._recorded = today, set()
        if series_id in self._recorded:
            return
        self._recorded.add(series_id)
        if self.of_replica:
            return
        with suppress(OSError):
            file = os.open(self.path, _APPEND, 0o666)
            try:
                os.write(file, f"{today} {series_id}\n".encode())
            finally:
                os.close(file)

    def days(self) -> dict[int, date]:
        """Return the last day of each series, no later than today: the clock may have been ahead."""
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""  # a pipe would block
        except OSError:
            return {}
        today = utc_now().date()
        found: dict[int, date] = {}
        for day, series in _LINE.findall(content):
            with suppress(ValueError):  # no such day
                read = min(date.fromisoformat(day.decode()), today)
                found[int(series)] = max(read, found.get(int(series), read))
        return found

    def shorten(self, series: Collection[int]) -> None:
        """Keep one line for each of some series. A line that is appended meanwhile may be lost."""
        days = self.days()
        lines = "".join(f"{day} {series_id}\n" for series_id, day in sorted(days.items()) if series_id in series)
        unfinished = self.path.with_name(f"{self.path.name}.new")
        if days:
            with suppress(OSError):
                unfinished.write_text(lines)
                unfinished.replace(self.path)
