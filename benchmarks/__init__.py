"""Benchmarks: what the package and its alternatives take, each measured in the same run."""

import sys
from pathlib import Path

# Downloads are measured against the loopback servers of the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
