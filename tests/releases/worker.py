"""Runs in a process with another Lumibot release: which class a source has there, and whether it trades as Lumibot's.

`python -m tests.releases.worker SOURCE FOLDER` prints JSON: whether the public class is ours, `on_the_store`, the
`warnings` about the source, and whether a backtest on the class is the `same` as on Lumibot's own.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import lumibot_duckdb.backtesting
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.class_substitution import SwitchableMeta


class _Warnings(logging.Handler):
    """Keeps the warnings about one source."""

    def __init__(self, source: str) -> None:
        super().__init__(logging.WARNING)
        self.source = source
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        if f"lumibot-duckdb ({self.source})" in record.getMessage():
            self.messages.append(record.getMessage())


def main(source: str, folder: Path) -> None:
    """Print the result of a source."""
    kept = _Warnings(source)
    logging.getLogger("lumibot.duckdb").addHandler(kept)
    public, *_ = SOURCES[source].classes
    ours = getattr(lumibot_duckdb.backtesting, public.name)
    theirs = getattr(import_module(public.lumibot_module), public.name)
    same = _trades_the_same(source, theirs, ours, folder)
    print(json.dumps({"on_the_store": isinstance(ours, SwitchableMeta), "warnings": kept.messages, "same": same}))


def _trades_the_same(source: str, theirs: type[Any], ours: type[Any], folder: Path) -> bool:
    from parity.backtests import assert_same_result

    run = _on_own_bars if source == "own_bars" else _on_a_provider
    expected, actual = run(source, [theirs, ours], folder)
    try:
        assert_same_result(expected, actual, fills=1)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _on_a_provider(source: str, classes: list[type[Any]], folder: Path) -> list[Any]:
    from parity.backtests import run
    from parity.example_runs import GROUNDS

    ground = GROUNDS[source]
    example = ground.runs["crypto_50_50" if source == "ccxt" else "classic_60_40"]
    results = []
    with ground.served() as server:
        for number, source_class in enumerate(classes):
            place = folder / str(number)
            settings = {**ground.settings, **example.keywords}
            with ground.entered(place, server):
                span = example.start, example.end
                parameters = example.all_parameters()
                results.append(run(example.load(), source_class, place / "run", *span, parameters, **settings))
    return results


def _on_own_bars(source: str, classes: list[type[Any]], folder: Path) -> list[Any]:
    """Frames are given to both classes, since Lumibot's knows no store."""
    from parity.backtests import run
    from parity.series import INVENTED
    from parity.sides import pandas_data
    from parity.strategies import Crossing

    market = INVENTED["hours"]()
    parameters = {"assets": [asset for asset, _ in market.frames], "sleeptime": "1H", "step": "hour", "length": 20}
    span = market.start, market.end
    return [
        run(Crossing, each, folder / str(number), *span, dict(parameters), pandas_data=pandas_data(market))
        for number, each in enumerate(classes)
    ]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
