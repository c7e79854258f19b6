"""Runs one trial: the target, the process that waits at its backtest, and the record of what happened."""
