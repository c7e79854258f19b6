"""Points Polygon's official client at a loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from polygon import RESTClient


@contextmanager
def client_redirected_to(url: str) -> Iterator[None]:
    """Change the default base address of Polygon's official client, and nothing else."""
    made = RESTClient.__init__
    defaults = tuple(url if value == "https://api.polygon.io" else value for value in made.__defaults__ or ())
    assert url in defaults
    with mock.patch.object(made, "__defaults__", defaults):
        yield
