"""Renews the bundles of plotly.js that pages contain: `python requirements/plotly_bundles.py [VERSION]`.

Each bundle comes from the npm registry, in its newest version or the newest one up to VERSION. npm checks the archive
with the registry's digest. The versions and digests are written to `sources.json` beside the bundles; a test compares
them with the files.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path(__file__).parents[1] / "src" / "lumibot_duckdb" / "pages" / "plotly"
PACKAGES = ("plotly.js-finance-dist-min", "plotly.js-cartesian-dist-min")


def main(arguments: list[str]) -> None:
    """Download the bundles and their license, and note where they are from."""
    newest = arguments[0] if arguments else None
    sources: dict[str, Any] = {}
    for package in PACKAGES:
        with TemporaryDirectory() as folder:
            wanted = f"{package}@<={newest}" if newest else package
            (packed,) = json.loads(_npm("pack", wanted, "--json", folder=folder))
            with tarfile.open(Path(folder, packed["filename"])) as archive:
                name, content = _bundle(archive)
                (FOLDER / name).write_bytes(content)
                (FOLDER / "LICENSE").write_bytes(_content(archive, "package/LICENSE"))
        sources[name] = {
            "package": package,
            "version": packed["version"],
            "integrity": packed["integrity"],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        print(f"{name}: {package} {packed['version']}, {len(content):,} bytes")
    (FOLDER / "sources.json").write_text(json.dumps(sources, indent=2) + "\n")


def _bundle(archive: tarfile.TarFile) -> tuple[str, bytes]:
    """Return the name and the content of the only JavaScript file in a package."""
    (name,) = (name for name in archive.getnames() if name.endswith(".min.js"))
    return name.rpartition("/")[2], _content(archive, name)


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()


def _npm(*arguments: str, folder: str) -> str:
    return subprocess.run(["npm", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:])
