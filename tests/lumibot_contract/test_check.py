"""The check of the requirements: the installed packages meet them, and a changed release breaks some."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb.lumibot_contract import check, results
from lumibot_duckdb.lumibot_contract.breach import Breach, find_breaches
from lumibot_duckdb.lumibot_contract.catalogue import PARTS, requirements_of
from lumibot_duckdb.lumibot_contract.installed import InstalledPackages
from lumibot_duckdb.lumibot_contract.requirement import Requirement
from lumibot_duckdb.sources.registry import SOURCES
from tests.lumibot_contract.conftest import ChangedLumibot

_YAHOO = "lumibot.data_sources.yahoo_data"


@pytest.mark.parametrize("part", PARTS)
def test_the_installed_packages_keep_the_contract(part: str) -> None:
    assert find_breaches(requirements_of(part), InstalledPackages()) == ()


def test_sources_are_parts_with_digests() -> None:
    for source in SOURCES:
        assert any(each.digests for each in requirements_of(source))


def test_a_removed_name(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(_YAHOO, "def _get_filtered_end_index", "def _get_end_index")
    (breach,) = check.breaches("yahoo")
    assert breach.change == "removed"
    assert not breach.is_unknown_source
    assert str(breach) == f"{_YAHOO}:YahooData._get_filtered_end_index was removed (emulated: which rows are seen)"
    assert check.breaches("ccxt") == ()


def test_a_removed_attribute(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(_YAHOO, "self._data_open_values = {}", "self._opens = {}")
    names = {each.requirement.path: each.change for each in check.breaches("yahoo")}
    assert names == {"YahooData._data_open_values": "removed"}


def test_a_name_that_older_releases_have_elsewhere(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace("lumibot.tools.shared_bar_cache", "def validate_rows(", "def valid_rows(")
    (breach,) = check.breaches("alpaca")
    assert breach.change == "removed"
    changed_lumibot.replace("lumibot.tools.alpaca_history", "def _frame(", "def _valid_rows(")
    assert check.breaches("alpaca") == ()


def test_a_removed_module(changed_lumibot: ChangedLumibot) -> None:
    (changed_lumibot.folder / "lumibot" / "tools" / "yahoo_helper.py").unlink()
    assert {each.change for each in check.breaches("benchmark")} == {"removed"}


def test_a_changed_signature(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(_YAHOO, "def _store_key(asset, interval=", "def _store_key(asset, period=")
    (breach,) = check.breaches("yahoo")
    assert breach.change == "signature is (asset, period), expected (asset, interval)"
    assert "changed: signature is" in str(breach)


def test_a_parameter_that_is_used_among_many(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace("lumibot.strategies._strategy", "datasource_class", "source_class")
    (breach,) = check.breaches("lifecycle")
    assert breach.change == "signature lacks datasource_class"


def test_a_changed_body(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(_YAHOO, "end_filter - timeshift", "end_filter - 2 * timeshift")
    (breach,) = check.breaches("yahoo")
    assert breach.is_unknown_source
    assert breach.found
    assert "has changed source code" in str(breach)


def test_comments_and_formatting_are_no_change(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(
        _YAHOO, "end_filter - timeshift", "(\n                end_filter - timeshift  # earlier\n            )"
    )
    assert check.breaches("yahoo") == ()


def test_a_method_may_move_to_a_base_class(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("from .base import Base\n")
    (tmp_path / "base.py").write_text("class Base:\n    def _look(self, asset): pass\n")
    (tmp_path / "source.py").write_text("from . import Base as Parent\nclass Source(Parent):\n    pass\n")
    packages = InstalledPackages({"prices": tmp_path})
    assert find_breaches([Requirement("prices.source:Source._look", "called", parameters=("asset",))], packages) == ()
    (breach,) = find_breaches([Requirement("prices.source:Source._gone", "called")], packages)
    assert breach.change == "removed"


def test_imports_in_a_circle_are_no_definition(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from prices.b import look\n")
    (tmp_path / "b.py").write_text("from prices.a import look\n")
    packages = InstalledPackages({"prices": tmp_path})
    assert (
        packages.find("prices.a", "look") is not None
    )  # it is imported there, so a module that is compiled may have it
    assert packages.find("prices.a", "look.it") is None


def test_an_unknown_part() -> None:
    with pytest.raises(KeyError):
        check.breaches("oanda")


# -- what is remembered ------------------------------------------------------------------------------------------


def test_a_result_is_kept_until_a_file_changes(
    changed_lumibot: ChangedLumibot, own_cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_lumibot.replace(_YAHOO, "def _store_key(asset, interval=", "def _store_key(asset, period=")
    found = check.breaches("yahoo")
    assert (own_cache_folder / "checked.json").is_file()
    original, runs = find_breaches, []

    def counted(*arguments: Any) -> tuple[Breach, ...]:
        runs.append(1)
        return original(*arguments)

    monkeypatch.setattr(results, "find_breaches", counted)
    results.forget()
    assert check.breaches("yahoo") == found
    assert not runs
    file = changed_lumibot.folder / "lumibot" / "data_sources" / "yahoo_data.py"
    os.utime(file, ns=(0, 0))
    results.forget()
    assert check.breaches("yahoo") == found
    assert runs == [1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"yahoo": 3}', "\x00"])
def test_a_damaged_file_is_no_hindrance(changed_lumibot: ChangedLumibot, own_cache_folder: Path, content: str) -> None:
    own_cache_folder.mkdir(parents=True)
    (own_cache_folder / "checked.json").write_text(content)
    assert check.breaches("yahoo") == ()
    assert "yahoo" in json.loads((own_cache_folder / "checked.json").read_text())


def test_entries_of_another_form_are_checked_again(changed_lumibot: ChangedLumibot, own_cache_folder: Path) -> None:
    assert check.breaches("yahoo") == ()
    file = own_cache_folder / "checked.json"
    entries = json.loads(file.read_text())
    entries["yahoo"]["breaches"] = [{"number": 10_000, "change": "removed", "found": ""}]
    file.write_text(json.dumps(entries))
    results.forget()
    assert check.breaches("yahoo") == ()


def test_a_folder_that_cannot_be_written_is_no_hindrance(
    changed_lumibot: ChangedLumibot, own_cache_folder: Path
) -> None:
    own_cache_folder.parent.parent.mkdir(parents=True)
    own_cache_folder.parent.write_text("a file where the folder would be")
    assert check.breaches("yahoo") == ()
