"""Data sources: one folder for each provider, and what they share."""
