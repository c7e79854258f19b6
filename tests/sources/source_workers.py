"""The workers of the Polygon source's tests: targets of spawned processes."""

from __future__ import annotations

import hashlib
import logging
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
from lumibot.entities import Asset

from parity.backtests import BacktestResult, run
from parity.strategies import Crossing
from sources.polygon.server import KEY
from sources.polygon.sides import Side, our_class

Span = tuple[str, str]


def parameters(symbols: tuple[str, ...]) -> dict[str, Any]:
    return {"assets": [Asset(symbol) for symbol in symbols], "sleeptime": "30M", "step": "15min", "length": 12}


def backtest(
    url: str, folder: Path, span: Span, symbols: tuple[str, ...], run_folder: str = "run", strategy: Any = Crossing
) -> BacktestResult:
    """Backtest on the store of a folder."""
    side = Side(our_class(), folder)
    with side.entered(SimpleNamespace(url=url)):
        return run(strategy, side.source_class, folder / run_folder, *span, parameters(symbols), polygon_api_key=KEY)


def digest(result: BacktestResult) -> str:
    """Return a short text that is the same for the same trades, values and notes."""
    parts = (result.trades.to_csv(), result.values.to_csv(), repr(result.seen))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def report_backtest(
    url: str, folder: Path, span: Span, symbols: tuple[str, ...], run_folder: str, pipe: Connection
) -> None:
    """Backtest, and send the result or the error."""
    logging.disable(logging.ERROR)
    try:
        pipe.send(digest(backtest(url, folder, span, symbols, run_folder)))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def download(url: str, folder: Path, span: Span, symbol: str, length: int, pipe: Connection) -> None:
    """Request minutes as a backtest would; report when they have arrived."""
    side = Side(our_class(), folder)
    with side.entered(SimpleNamespace(url=url)):
        source = side.source(*(pd.Timestamp(day, tz="America/New_York").to_pydatetime() for day in span))
        source.get_historical_prices(Asset(symbol), length, "minute")
    pipe.send("done")
