"""Reader of Lumibot's CCXT cache."""
