"""An HTTP API of bars as JSON, of a vendor that does not exist: what docs/adding-a-source.md connects to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from parity.series import BUSINESS_DAYS, SESSIONS, walk
from wire.loopback import Answer, LoopbackServer, Request

KEY = "acme-key-4711"
COLUMNS = ["open", "high", "low", "close", "volume"]


class AcmeServer(LoopbackServer):
    """Answers `/bars/SYMBOL?timeframe&from&to` and `/splits/SYMBOL` for requests with the key."""

    def __init__(self) -> None:
        super().__init__()
        self.bars = {("SPY", "minute"): walk(1, SESSIONS), ("SPY", "day"): walk(2, BUSINESS_DAYS)}
        self.splits: list[dict[str, Any]] = []

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer({"error": "unknown key"}, status=401)
        _, kind, symbol = request.path.split("/")
        if kind == "splits":
            return Answer({"splits": self.splits})
        frame = self.bars.get((symbol, request.query["timeframe"]), pd.DataFrame(columns=COLUMNS))
        return Answer({"bars": rows_between(frame, int(request.query["from"]), int(request.query["to"]))})


def rows_between(frame: pd.DataFrame, start: int, end: int) -> list[list[float]]:
    if frame.empty:
        return []
    seconds = pd.DatetimeIndex(frame.index).as_unit("s").asi8
    inside = (seconds >= start) & (seconds < end)
    values = frame.loc[inside, COLUMNS].to_numpy(dtype=float).tolist()
    return [[int(time), *row] for time, row in zip(seconds[inside], values, strict=True)]
