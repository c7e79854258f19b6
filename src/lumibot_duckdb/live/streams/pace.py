"""How often a recorder of streams does what."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

from lumibot_duckdb.sources.retry_policy import exponential_pause


@dataclass(frozen=True)
class Pace:
    """Times in seconds.

    Attributes:
        settled_reads: The time between two readings of settled bars.
        poll: The time between two looks at the clock.
        first_pause, longest_pause: Pauses between attempts to connect, which double from the first to the longest.
        final_read: How long the last reading may take.
        final_write: How long writing what is left may take.
        refused_connections: How often in a row "too many connections" is believed to pass.
    """

    settled_reads: float = 15 * 60
    poll: float = 1.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    final_read: float = 60.0
    final_write: float = 30.0
    refused_connections: int = 6

    def pause_after(self, failures: int) -> float:
        """Return the pause after so many failures in a row, with jitter: many recorders do not come back at once."""
        return exponential_pause(self.first_pause, failures, self.longest_pause) * random.uniform(0.5, 1.0)


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, but not longer than until `stop` is set."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
