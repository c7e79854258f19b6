"""A broker's server in a separate process, so that a strategy waits for it as for a real one, and pays for no more.

`python -m benchmarks.live.broker` prints its address, and ends when its input does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from benchmarks.bars import SYMBOLS
from benchmarks.process import ROOT

FIRST_DAY, DAY, LAST_DAY = date(2024, 3, 4), date(2024, 3, 12), date(2024, 3, 13)
"""The first day with bars, the day that is traded, and the first one without."""


@contextmanager
def served() -> Iterator[str]:
    """Serve the bars of all symbols from another process; yield the address."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.live.broker"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def serve() -> None:
    """Serve until the input ends."""
    from lumibot_duckdb.demo.market import symbol_names, us_stock_bars
    from sources.alpaca.server import AlpacaServer

    with AlpacaServer(recent=True) as server:
        for symbol in symbol_names(SYMBOLS):
            frame = us_stock_bars(symbol, FIRST_DAY, LAST_DAY)
            prices = frame[["open", "high", "low", "close"]]
            server.serve("stock", symbol, frame.assign(high=prices.max(axis=1), low=prices.min(axis=1)))
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve()
