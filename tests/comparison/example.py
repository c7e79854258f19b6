"""Runs one of Lumibot's example strategies, as a user's script would: `python example.py GROUND NAME`.

Nothing here knows about a store: the class comes from `lumibot.backtesting`, and the strategy is unmodified.
"""

from __future__ import annotations

import sys

import lumibot.backtesting
import pandas as pd

from lumibot_duckdb.comparison.headless import UNATTENDED
from parity.example_runs import GROUNDS


def main(ground: str, name: str) -> None:
    """Backtest."""
    there = GROUNDS[ground]
    example = there.runs[name]
    example.load().run_backtest(
        getattr(lumibot.backtesting, there.class_name),
        pd.Timestamp(example.start).to_pydatetime(),
        pd.Timestamp(example.end).to_pydatetime(),
        parameters=example.all_parameters(),
        **{**UNATTENDED, **there.settings, **example.keywords},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
