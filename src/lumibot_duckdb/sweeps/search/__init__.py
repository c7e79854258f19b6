"""What decides which parameters are tried: spaces, conditions, grid, random search and Optuna."""
