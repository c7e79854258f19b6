"""Which releases are tested."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lumibot_duckdb.lumibot_contract.releases import KNOWN_RELEASES
from tests.releases import registry


def _answer(monkeypatch: pytest.MonkeyPatch, text: str, code: int = 0, error: str = "") -> None:
    done = subprocess.CompletedProcess([], code, text, error)
    monkeypatch.setattr(registry.subprocess, "run", lambda *arguments, **settings: done)


def test_published_releases_come_the_latest_first_without_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, "lumibot (4.6.9)\nAvailable versions: 4.6.9, 4.6.30, 5.0.0rc1, 4.6.10\n  INSTALLED: 4.6.9\n")
    assert registry.published() == ["4.6.30", "4.6.10", "4.6.9"]


def test_without_a_registry_nothing_is_published_or_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _answer(monkeypatch, "", 1, "WARNING: retrying\nERROR: No matching distribution found for lumibot\n")
    assert registry.published() == []
    assert registry.install("4.6.30", tmp_path) == "ERROR: No matching distribution found for lumibot"


def test_the_environment_chooses_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.SETTING, "4.6.31 4.6.0")
    assert registry.chosen() == ["4.6.31", "4.6.0"]
    monkeypatch.delenv(registry.SETTING)
    assert registry.chosen()[0] == KNOWN_RELEASES[-1]
    assert registry.chosen()[-1] == registry.UNSUPPORTED


def test_a_requirement_that_the_environment_lacks(tmp_path: Path) -> None:
    (folder := tmp_path / "lumibot-9.0.dist-info").mkdir()
    needs = ("pandas>=2", "pandas>=99", "surely-not-installed", "duckdb>=99; extra == 'more'")
    lines = ["Metadata-Version: 2.1", "Name: lumibot", "Version: 9.0", *(f"Requires-Dist: {each}" for each in needs)]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    assert registry.unmet_requirements(tmp_path) == ["pandas>=99", "surely-not-installed"]
