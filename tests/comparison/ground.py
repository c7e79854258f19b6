"""Runs `lumibot-duckdb compare` as a user does, in an isolated environment."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from lumibot_duckdb.cli.main import main
from lumibot_duckdb.comparison import runner
from parity.ground import environment

TESTS = Path(__file__).parents[1]
SOURCES = TESTS.parent / "src"

# Requests minutes, days, last prices and quotes of two symbols, and trades one for the other, with fees.
SCRIPT = """\
import sys
from datetime import datetime

from lumibot.backtesting import PolygonDataBacktesting
from lumibot.entities import TradingFee
from lumibot.strategies import Strategy


class Switching(Strategy):
    def initialize(self, symbols=("QQQ", "SPY")):
        self.symbols = symbols
        self.sleeptime = "30M"

    def on_trading_iteration(self):
        rises = {}
        for symbol in self.symbols:
            minutes = self.get_historical_prices(symbol, 30, "minute").df
            self.get_historical_prices(symbol, 2, "day")
            self.get_quote(self.create_asset(symbol))
            rises[symbol] = minutes["close"].iloc[-1] / minutes["close"].iloc[0]
        best = max(rises, key=rises.get)
        if self.get_position(best) is None:
            self.sell_all()
            quantity = int(self.cash / self.get_last_price(best) / 2)
            self.submit_order(self.create_order(best, quantity, "buy"))


if __name__ == "__main__":
    fee = TradingFee(flat_fee=1)
    Switching.run_backtest(
        PolygonDataBacktesting,
        datetime(2023, 3, 6),
        datetime(2023, 3, 8),
        benchmark_asset=None,
        risk_free_rate=0.0,
        analyze_backtest="--analyze" in sys.argv,
        buy_trading_fees=[fee],
        sell_trading_fees=[fee],
    )
"""


@dataclass(frozen=True)
class Ground:
    """A folder with Lumibot's cache, a store and scripts."""

    folder: Path

    @property
    def store(self) -> Path:
        """The store of our side."""
        return self.folder / "store" / "lumibot.duckdb"

    def script(self, name: str, text: str) -> Path:
        """Write a script."""
        path = self.folder / name
        path.write_text(text)
        return path


@dataclass(frozen=True)
class Answer:
    """What the command printed and how it ended."""

    code: int
    out: str
    err: str


def compare(*arguments: object) -> Answer:
    """Run `lumibot-duckdb compare`, which starts a process for each side, but none to warm up."""
    out, err = io.StringIO(), io.StringIO()
    without_warm_up = mock.patch.object(runner, "warm_up")
    with without_warm_up, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["compare", *map(str, arguments)])
    return Answer(code, out.getvalue(), err.getvalue())


@contextmanager
def on_ground(folder: Path, settings: dict[str, str]) -> Iterator[None]:
    """Set up an environment in which both sides work in a folder and only connect to loopback servers."""
    paths = [TESTS / "comparison" / "redirected", TESTS, SOURCES, *filter(None, [os.environ.get("PYTHONPATH")])]
    both = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "LUMIBOT_CACHE_FOLDER": str(folder / "cache"),
        "LUMIBOT_DUCKDB_PATH": str(folder / "store" / "lumibot.duckdb"),
        "LUMIBOT_DISABLE_DOTENV": "1",
    }
    with environment({**both, **settings}):
        yield
