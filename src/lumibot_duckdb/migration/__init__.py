"""Brings Lumibot's old caches into the store: finds files, reads them, stores what they hold, checks it."""
