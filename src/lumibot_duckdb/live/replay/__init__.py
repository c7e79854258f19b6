"""Backtests a session of live trading from its recorded bars, and compares what was seen and done.

`replay.py` is what users call: `script_strategy.py` finds the strategy, `recorded_bars.py` the series and `backtest.py`
runs it, observed as the session was. `requests.py`, `orders.py` and `equity.py` compare.
"""
