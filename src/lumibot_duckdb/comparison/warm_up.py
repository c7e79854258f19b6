"""Imports what a script imports on either side: `python -m lumibot_duckdb.comparison.warm_up`."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from lumibot_duckdb.sources.registry import SOURCES


def main() -> None:
    """Import the recorder and the data sources, which import Lumibot and the providers' clients."""
    import_module("lumibot_duckdb.comparison.recorder")
    for source in (each for spec in SOURCES.values() for each in spec.classes):
        with suppress(Exception):  # a source that does not fit the installed Lumibot; a script that uses it will say so
            source.load()


if __name__ == "__main__":
    main()
