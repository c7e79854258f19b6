"""Parameter sweeps: many backtests of one script or strategy, each in its own process."""
