"""The protocol of a stream of bars, and why one ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lumibot_duckdb.live.live_bars import LiveBars


class StreamLostError(Exception):
    """The connection of a stream was lost, or could not be made. Another attempt may succeed."""


class TooManyConnectionsError(StreamLostError):
    """The provider allows no further connection, because of another program or of a connection that it still counts."""


class BarStream(Protocol):
    """A stream of the bars of some assets. It is used by one task at a time."""

    async def run(self, on_bars: Callable[[LiveBars], None], on_connected: Callable[[], None]) -> None:
        """Receive bars over one connection, until it is lost or `close` is called.

        Args:
            on_bars: Called with the bars of each message, all of which have closed. Corrected bars have `replace`.
            on_connected: Called when the provider has confirmed the subscription: later bars are sent.

        Raises:
            StreamLostError: The connection was lost, or could not be made.
            ProviderError: The provider refuses the subscription, and will refuse it again.
        """

    async def close(self) -> None:
        """End `run`, which returns then."""
