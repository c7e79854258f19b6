"""Imports files of bars: recognises, reads and checks them. Depends on the storage, not on Lumibot or backtests."""
