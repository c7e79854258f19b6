"""What the live scripts of this folder trade and log, whichever broker they use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lumibot.entities import Asset
from lumibot.strategies import Strategy


class LoggedCrossover(Strategy):
    """Holds an asset while its last closed bar is above the mean of the last hour, and logs what it sees."""

    def initialize(self) -> None:
        self.sleeptime = "1M"
        self.log = Path(os.environ["STRATEGY_LOG"]).open("a", buffering=1)  # noqa: SIM115
        self.note("start")

    def trade(self, asset: Asset, closes: Any, quantity: int, quote: Asset | None = None) -> None:
        position = self.get_position(asset)
        is_above = closes.iloc[-1] > closes.mean()
        if is_above and position is None:
            self.submit_order(self.create_order(asset, quantity, "buy", quote=quote))
        elif not is_above and position is not None:
            self.submit_order(self.create_order(asset, position.quantity, "sell", quote=quote))

    def note(self, what: str, timestep: str = "", length: int = 0, bars: Any = None) -> None:
        """Write a line, with what is in a frame."""
        frame = None
        if bars is not None:
            frame = [[int(row[0].timestamp()), *row[1:6]] for row in bars.df.itertuples()]
        print(json.dumps([self.get_datetime().isoformat(), what, timestep, length, frame]), file=self.log)
