"""`live check`: compares a recorded day with what the provider returns for it now."""
