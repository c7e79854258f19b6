"""Puts something in the place of a class's or a module's attribute, and puts back what was there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Have `value` in the place of an attribute that `owner` itself has (a `staticmethod` or `property` as such)."""
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
