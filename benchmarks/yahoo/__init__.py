"""The Yahoo source against Lumibot's own, both on stored bars."""
