"""Passes the bars that Lumibot's live sources return to the recorder."""
