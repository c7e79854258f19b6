"""The peak is the program's own, not what its parent held."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from lumibot_duckdb.comparison.memory import peak_resident_bytes, resident_bytes


def test_the_peak_remembers_what_was_freed():
    ballast = np.ones(30_000_000)
    held = resident_bytes()
    del ballast
    assert held > 200_000_000
    assert peak_resident_bytes() >= held * 0.99


def test_a_child_does_not_inherit_the_peak_of_its_parent():
    ballast = np.ones(40_000_000)
    program = "from lumibot_duckdb.comparison.memory import peak_resident_bytes; print(peak_resident_bytes())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert resident_bytes() > ballast.nbytes
    assert int(child) < 0.5 * ballast.nbytes
