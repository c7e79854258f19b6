"""A copy of the installed Lumibot that a test can change like a new release."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lumibot_duckdb.lumibot_contract import enforcement, results
from lumibot_duckdb.lumibot_contract.catalogue import PARTS, requirements_of
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages


class ChangedLumibot:
    """Lumibot's source files, changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        installed = InstalledPackages()
        for module in {module for part in PARTS for each in requirements_of(part) for module in each.modules}:
            if module.startswith("lumibot."):
                file = installed.file_of(module)
                assert file is not None
                copy = folder / Path(*module.split(".")).with_suffix(".py")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)

    @property
    def packages(self) -> InstalledPackages:
        """The changed release, read again."""
        return InstalledPackages({"lumibot": self.folder / "lumibot"})

    def replace(self, module: str, old: str, new: str) -> None:
        """Change the text of a module everywhere; `old` must be in it."""
        file = self.folder / Path(*module.split(".")).with_suffix(".py")
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        results.forget()


@pytest.fixture
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep results of checks in a folder of this test."""
    monkeypatch.setenv("LUMIBOT_CACHE_FOLDER", str(tmp_path / "cache"))
    return tmp_path / "cache" / "duckdb" / "contract"


@pytest.fixture
def changed_lumibot(
    tmp_path: Path, own_cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ChangedLumibot]:
    """Check the contract against a copy of Lumibot, with no earlier results or warnings."""
    changed = ChangedLumibot(tmp_path / "release")
    monkeypatch.setattr(results, "InstalledPackages", lambda: changed.packages)
    monkeypatch.setattr(enforcement, "_warned", set())
    monkeypatch.delenv(enforcement.STRICT, raising=False)
    results.forget()
    yield changed
    results.forget()
