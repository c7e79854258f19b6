"""Benchmarks against Lumibot, ArcticDB and common file formats; each runs both sides: `python -m benchmarks`."""

import sys
from pathlib import Path

# The download benchmarks use the loopback servers of the tests, which import one another from this folder.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
