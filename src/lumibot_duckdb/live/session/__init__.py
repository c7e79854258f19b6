"""Records sessions of live trading: what a strategy requested and saw, its orders, fills and portfolio values.

`observer.py` turns what Lumibot does into events, `session_rows.py` makes rows of them, and `recorder.py` writes these
from one thread. Replays observe backtests in the same way.
"""
