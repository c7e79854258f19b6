"""What happens in a session, as it is noted in the strategy's thread: cheap to make, and with copies of all values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close", "volume")
"""The columns of a bar that are recorded."""


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """Bars that a request returned: their starts in microseconds since 1970, and a row of `PRICES` for each."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """A request for bars or for a price, and its answer. `time` is in microseconds, like all times here."""

    time: int
    method: str
    asset: str
    timestep: str
    length: int | None
    arguments: str
    frame: SeenFrame | None = None
    price: float | None = None
    error: str | None = None

    @property
    def size(self) -> int:
        """How many rows it makes at most."""
        return 1 if self.frame is None else 1 + len(self.frame.times)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An order, when it is first seen, as values of `LIVE_ORDERS_SCHEMA`."""

    row: dict[str, Any]
    size: int = 1


@dataclass(frozen=True, slots=True)
class TradeEvent:
    """A trade event, as values of `LIVE_TRADES_SCHEMA`."""

    row: dict[str, Any]
    size: int = 1


@dataclass(frozen=True, slots=True)
class ValueEvent:
    """The value of the portfolio, as values of `EQUITY_SCHEMA`."""

    row: dict[str, Any]
    size: int = 1


Event: TypeAlias = "RequestEvent | OrderEvent | TradeEvent | ValueEvent"


class EventSink(Protocol):
    """Takes the events of a session."""

    def add(self, event: Event) -> None:
        """Take an event. Neither blocks nor raises."""

    def end(self, error: BaseException | None) -> None:
        """Take note that the session has ended, with the error that ended it, if any."""
