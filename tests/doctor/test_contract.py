"""Lumibot that cannot be imported, and breaches of the contract."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lumibot_duckdb.doctor.check import FAILED, OK, WARNING
from lumibot_duckdb.doctor.contract import check_contract, check_import
from lumibot_duckdb.doctor.self_test.sources import LABELS


def test_a_breach_fails_the_source_that_it_concerns() -> None:
    def breaches(source: str) -> tuple[str, ...]:
        return ("Data._get_bars_dict is gone", "another") if source == "yahoo" else ()

    found = {check.name: check for check in check_contract(breaches, tuple(LABELS))}
    assert list(found) == [f"contract.{source}" for source in LABELS]
    assert [name for name, check in found.items() if check.status != OK] == ["contract.yahoo"]
    yahoo = found["contract.yahoo"]
    assert (yahoo.status, yahoo.summary) == (FAILED, "Yahoo: Data._get_bars_dict is gone (and 1 more)")
    assert "install a supported Lumibot" in yahoo.remedy
    assert yahoo.details == {"breaches": ["Data._get_bars_dict is gone", "another"]}


def test_changed_source_code_is_a_warning_if_a_self_test_covers_it() -> None:
    unknown = SimpleNamespace(is_unknown_source=True)
    gone = SimpleNamespace(is_unknown_source=False)
    breaches = {"yahoo": [unknown], "ccxt": [unknown, gone], "activation": [unknown]}
    found = {check.name: check for check in check_contract(lambda part: breaches.get(part, []), list(breaches))}
    assert {name: check.status for name, check in found.items()} == {
        "contract.yahoo": WARNING,
        "contract.ccxt": FAILED,
        "contract.activation": FAILED,
    }
    assert "the self-test shows" in found["contract.yahoo"].remedy


def test_a_check_that_fails_itself_is_a_breach() -> None:
    def breaches(source: str) -> tuple[str, ...]:
        raise AttributeError("no attribute 'signature'")

    assert {check.status for check in check_contract(breaches, tuple(LABELS))} == {FAILED}


@pytest.mark.parametrize("error", [ImportError("no module named 'polars'"), RuntimeError("odd"), SystemExit(1)])
def test_lumibot_that_cannot_be_imported(error: BaseException) -> None:
    def fail() -> None:
        print("noise")
        raise error

    check = check_import(fail)
    assert check.status == FAILED
    assert type(error).__name__ in check.summary
    assert "pip install" in check.remedy
    assert check_import(lambda: None).status == OK
