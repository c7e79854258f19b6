"""Installed versions against those that are supported."""

from __future__ import annotations

from packaging.version import Version

from lumibot_duckdb.doctor.check import FAILED, OK
from lumibot_duckdb.doctor.versions import PACKAGES, check_versions, installed_version, supported_versions


def test_what_is_installed_here_is_supported() -> None:
    checks = list(check_versions())
    assert [check.name for check in checks] == ["versions.python", *(f"versions.{package}" for package in PACKAGES)]
    assert {check.status for check in checks} == {OK}
    (duckdb,) = [check for check in checks if check.name == "versions.duckdb"]
    assert duckdb.details == {"installed": installed_version("duckdb"), "supported": ">=1.5,<3"}


def test_every_package_has_a_requirement() -> None:
    python, allowed = supported_versions()
    assert python == ">=3.10"
    assert set(PACKAGES) <= set(allowed)
    assert not allowed["lumibot"].contains(Version("4.5.0"))


def test_a_version_that_is_too_old_a_missing_package_and_an_odd_version_fail() -> None:
    versions = {"lumibot": "4.6.18", "duckdb": None, "ccxt": "unknown"}

    def installed(package: str) -> str | None:
        return versions[package] if package in versions else installed_version(package)

    failed = {check.name: check for check in check_versions(installed) if check.status == FAILED}
    assert set(failed) == {"versions.lumibot", "versions.duckdb", "versions.ccxt"}
    assert failed["versions.lumibot"].summary == "Lumibot 4.6.18 is not supported (supported: >=4.6.19,<5)"
    assert failed["versions.lumibot"].remedy == "pip install 'lumibot>=4.6.19,<5'"
    assert failed["versions.duckdb"].summary == "DuckDB is not installed"
    assert failed["versions.duckdb"].remedy == "pip install 'duckdb>=1.5,<3'"
