"""Every number this project claims, measured against the real opponent in the same run: `python -m benchmarks`."""
