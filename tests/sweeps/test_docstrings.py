"""The examples in docstrings of sweeps are correct."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

from lumibot_duckdb import sweeps

pytest.importorskip("optuna")
pytestmark = pytest.mark.xdist_group("optuna")  # it is imported once

NAMES = [module.name for module in pkgutil.walk_packages(sweeps.__path__, f"{sweeps.__name__}.")]
MODULES = [name for name in NAMES if ">>> " in inspect.getsource(importlib.import_module(name))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_work(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed
