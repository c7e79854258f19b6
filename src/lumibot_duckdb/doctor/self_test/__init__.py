"""Every source against Lumibot's own class, on generated bars, offline."""
