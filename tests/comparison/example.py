"""Runs one of Lumibot's example strategies, as a person's own script would: `python example.py SOURCE NAME`.

Nothing here knows of a store: the class is what `lumibot.backtesting` has, and the strategy is as it is shipped.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import lumibot.backtesting
import pandas as pd

from lumibot_duckdb.demo.side import UNATTENDED
from parity.alpaca_sides import CONFIG
from parity.examples import EXAMPLES, Example
from parity.test_alpaca_strategies import OTHER_SPANS, settings_of
from parity.test_ccxt_strategies import DOLLAR, LUMIBOTS_OWN, RUN_ON_BINANCE
from parity.test_yahoo_strategies import ON_DAYS
from wire.polygon_server import KEY

CLASSES = {
    "polygon": "PolygonDataBacktesting",
    "yahoo": "YahooDataBacktesting",
    "alpaca": "AlpacaBacktesting",
    "ccxt": "CcxtBacktesting",
}


def example_of(source: str, name: str) -> tuple[Example, dict[str, Any]]:
    """Return an example with the span that suits a source, and the keywords for `run_backtest`."""
    if source == "yahoo":
        return ON_DAYS[name], {**ON_DAYS[name].keywords}
    if source == "ccxt":
        on_binance = {**RUN_ON_BINANCE, "ccxt_example": LUMIBOTS_OWN}[name]
        return on_binance, {"exchange_id": "binance", "quote_asset": DOLLAR, **on_binance.keywords}
    example = EXAMPLES[name]
    if source == "polygon":
        return example, {"polygon_api_key": KEY, **example.keywords}
    start, end = OTHER_SPANS.get(name, (example.start, example.end))
    return replace(example, start=start, end=end), {**settings_of(name, example), "config": dict(CONFIG)}


def main(source: str, name: str) -> None:
    """Backtest."""
    example, settings = example_of(source, name)
    example.load().run_backtest(
        getattr(lumibot.backtesting, CLASSES[source]),
        pd.Timestamp(example.start).to_pydatetime(),
        pd.Timestamp(example.end).to_pydatetime(),
        parameters=example.all_parameters(),
        **{**UNATTENDED, **settings},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
