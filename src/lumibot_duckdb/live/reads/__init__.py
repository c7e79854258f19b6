"""What Lumibot's live sources read from their providers, on its way to the strategy."""
