"""The Alpaca source against Lumibot's own, on bars that both hold already and on bars that they have to ask for."""
