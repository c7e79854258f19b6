"""For developers: what to change in the requirements when a new Lumibot release is supported.

`python -m lumibot_duckdb.lumibot_contract.digests` prints the breaches of the installed release, with the digest to add
where only source code changed; add it after the parity tests have passed. With a folder that holds a `lumibot`, as `pip
install --no-deps --target FOLDER lumibot==VERSION` makes it, that release is read. With names ("module:Class.method"),
their digests and parameters are printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lumibot_duckdb.lumibot_contract.breach import digest_of, find_breaches, parameters_of
from lumibot_duckdb.lumibot_contract.catalogue import PARTS, requirements_of
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages


def lines(arguments: list[str]) -> Iterator[str]:
    """Return what the command prints."""
    names = [each for each in arguments if ":" in each]
    folders = [Path(each) for each in arguments if ":" not in each]
    packages = InstalledPackages({"lumibot": folders[0] / "lumibot"} if folders else None)
    if names:
        yield from (_described(name, packages) for name in names)
        return
    for part in PARTS:
        for each in find_breaches(requirements_of(part), packages):
            yield f"{part}: {each}" + (f": {each.found}" if each.is_unknown_source else "")


def _described(name: str, packages: InstalledPackages) -> str:
    module, _, path = name.partition(":")
    found = packages.find(module, path)
    return f"{name} is not defined" if found is None else f"{name}: {digest_of(*found)} {parameters_of(*found)}"


if __name__ == "__main__":
    print("\n".join(lines(sys.argv[1:])) or "nothing to change")
