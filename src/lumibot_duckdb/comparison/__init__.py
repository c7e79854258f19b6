"""Runs a script's backtests on Lumibot's storage and on this one, and says what differs and what each cost."""
