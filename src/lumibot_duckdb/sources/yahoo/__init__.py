"""Yahoo Finance: its client, its data source, and Lumibot's old cache of it."""
