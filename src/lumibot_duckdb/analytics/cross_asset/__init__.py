"""Analysis of several assets together: correlation, beta, spreads, ranking, breadth."""
