"""Which storage a backtest runs on: one switch, our classes in place of Lumibot's, and scripts run as they are."""
