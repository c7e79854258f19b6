"""The Alpaca source against Lumibot's own, on stored bars and on bars that have to be downloaded."""
