"""Our classes in the place of Lumibot's, and unmodified scripts run on them."""
