"""A user's script on Polygon's bars of one stock: every minute, or with options. For `VALUES` see crossover.py.

`python polygon_bars.py minutes` or `python polygon_bars.py options`.
"""

import json
import os
import sys
from datetime import datetime

from lumibot.backtesting import PolygonDataBacktesting

from benchmarks.polygon.strategies import InTurn, IronCondors
from lumibot_duckdb.comparison.headless import UNATTENDED

if __name__ == "__main__":
    values = json.loads(os.environ.get("VALUES", "{}"))
    strategy, end = (InTurn, datetime(2023, 1, 21)) if sys.argv[1] == "minutes" else (IronCondors, datetime(2023, 2, 1))
    _, done = strategy.run_backtest(
        PolygonDataBacktesting,
        datetime(2023, 1, 18),
        end,
        parameters={"symbols": ["SIM001"], **values},
        **UNATTENDED,
    )
    if "KEEP" in os.environ:
        from sweeps.plain_record import keep_record

        keep_record(done, os.environ["KEEP"])
