"""Files of bars into the store: recognising, reading, checking. Knows storage; nothing of Lumibot or backtests."""
