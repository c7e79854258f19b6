"""Self-tests that have passed are remembered for exactly the code that they ran on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumibot_duckdb.lumibot_contract import check, verified
from lumibot_duckdb.lumibot_contract.verified import is_verified, remember_verified
from tests.lumibot_contract.conftest import ChangedLumibot

_YAHOO = "lumibot.data_sources.yahoo_data"
_HELPER = "lumibot.tools.yahoo_helper"


@pytest.fixture
def unknown(changed_lumibot: ChangedLumibot) -> ChangedLumibot:
    """A release of Lumibot with a changed function in its Yahoo source."""
    changed_lumibot.replace(_YAHOO, "end_filter - timeshift", "end_filter - 2 * timeshift")
    return changed_lumibot


def test_unknown_code_is_known_once_the_self_test_has_passed(unknown: ChangedLumibot) -> None:
    assert not is_verified("yahoo")
    assert len(check.breaches("yahoo")) == 1
    assert remember_verified("yahoo")
    assert is_verified("yahoo")
    assert check.breaches("yahoo") == ()
    assert not is_verified("ccxt")


def test_code_that_changes_once_more_is_unknown_again(unknown: ChangedLumibot) -> None:
    remember_verified("yahoo")
    unknown.replace(_YAHOO, "end_filter - 2 * timeshift", "end_filter - 3 * timeshift")
    assert len(check.breaches("yahoo")) == 1


def test_a_missing_name_stays_a_breach(unknown: ChangedLumibot) -> None:
    unknown.replace(_YAHOO, "def _append_data(", "def _append(")
    remember_verified("yahoo")
    (breach,) = check.breaches("yahoo")
    assert breach.change == "removed"


@pytest.mark.parametrize("what", ["installed_release", "__version__"])
def test_another_release_is_unknown(unknown: ChangedLumibot, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    remember_verified("yahoo")
    monkeypatch.setattr(verified, what, (lambda: "4.9.9") if what == "installed_release" else "9.9")
    assert not is_verified("yahoo")


def test_the_self_test_of_yahoo_covers_the_benchmark(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace(
        _HELPER, "def process_df(df, asset_info=None):", "def process_df(df, asset_info=None):\n        1"
    )
    assert len(check.breaches("benchmark")) == 1
    remember_verified("yahoo")
    assert check.breaches("benchmark") == ()


@pytest.mark.parametrize("content", ["", "null", '{"a": 1}'])
def test_a_damaged_file_means_not_verified(unknown: ChangedLumibot, own_cache_folder: Path, content: str) -> None:
    remember_verified("yahoo")
    (own_cache_folder / "verified.json").write_text(content)
    assert len(check.breaches("yahoo")) == 1
    assert remember_verified("yahoo")
    assert check.breaches("yahoo") == ()


def test_a_file_is_written_at_once_and_leaves_nothing_behind(unknown: ChangedLumibot, own_cache_folder: Path) -> None:
    remember_verified("yahoo")
    remember_verified("ccxt")
    assert sorted(file.name for file in own_cache_folder.iterdir()) == ["checked.json", "verified.json"]
    assert is_verified("yahoo")
    assert is_verified("ccxt")


def test_what_cannot_be_written_is_not_remembered(unknown: ChangedLumibot, own_cache_folder: Path) -> None:
    own_cache_folder.parent.mkdir(parents=True)
    own_cache_folder.write_text("a file where the folder would be")
    assert not remember_verified("yahoo")
    assert len(check.breaches("yahoo")) == 1
