"""Runs a script's backtests on Lumibot's storage and on the store, and reports the differences and the costs."""
