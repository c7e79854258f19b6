"""The CCXT source on a filled store, against Lumibot's own with its files in the page cache."""
