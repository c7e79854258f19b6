"""What the readers of Lumibot's old caches share."""
