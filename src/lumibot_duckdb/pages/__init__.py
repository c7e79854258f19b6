"""Self-contained HTML pages with plots: the reports of `compare` and `status`."""
