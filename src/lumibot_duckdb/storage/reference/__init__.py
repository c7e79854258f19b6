"""Corporate actions, option chains and other reference data."""
