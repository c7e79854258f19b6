"""Any range of a stored series as Lumibot would show it, out of windows on the store instead of whole histories."""
