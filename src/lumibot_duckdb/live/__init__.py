"""Live trading: records the bars that Lumibot's live sources return, and warms strategies up from the store."""
