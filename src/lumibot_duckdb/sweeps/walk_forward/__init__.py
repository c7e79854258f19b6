"""Walk-forward: windows, the best parameters of each, and the joined results out of sample."""
