"""User-supplied bars."""
