"""What happens on a breach: Lumibot's own behaviour and one warning, or an error."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from lumibot_duckdb import activate, deactivate
from lumibot_duckdb.lumibot_contract import check, fallback
from lumibot_duckdb.lumibot_contract.fallback import LumibotContractError, class_or_lumibots, keeps_contract, require
from tests.lumibot_contract.conftest import ChangedLumibot

_YAHOO = "lumibot.data_sources.yahoo_data"
_STRATEGY = "lumibot.strategies._strategy"


class _Ours:
    pass


class _Lumibots:
    pass


def _chosen() -> type:
    return class_or_lumibots("yahoo", lambda: _Ours, lambda: _Lumibots)


def test_our_class_where_the_contract_is_kept(
    changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture
) -> None:
    assert _chosen() is _Ours
    require("yahoo")
    assert not caplog.records


@pytest.mark.parametrize(
    ("old", "new", "said", "remedy"),
    [
        ("def _append_data(", "def _append(", "_append_data was removed", "Install a supported release of Lumibot"),
        ("_store_key(asset, interval=", "_store_key(asset, period=", "signature is (asset, period)", "Install"),
        ("end_filter - timeshift", "end_filter - 2 * timeshift", "has changed source code", "doctor` tests whether"),
    ],
)
def test_lumibots_class_and_one_warning_on_a_breach(
    changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture, old: str, new: str, said: str, remedy: str
) -> None:
    changed_lumibot.replace(_YAHOO, old, new)
    assert _chosen() is _Lumibots
    assert _chosen() is _Lumibots
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelname == "WARNING"
    for part in (said, remedy, "yahoo", "Lumibot 4.", "supported: 4.", "`lumibot-duckdb doctor`", "own class is used"):
        assert part in message


def test_strict_raises(changed_lumibot: ChangedLumibot, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_lumibot.replace(_YAHOO, "def _append_data(", "def _append(")
    monkeypatch.setenv(fallback.STRICT, "true")
    with pytest.raises(LumibotContractError, match="_append_data was removed") as raised:
        _chosen()
    assert raised.value.part == "yahoo"
    assert len(raised.value.changes) == 1
    monkeypatch.setenv(fallback.STRICT, "false")
    assert _chosen() is _Lumibots


def test_strict_must_be_understood(changed_lumibot: ChangedLumibot, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_lumibot.replace(_YAHOO, "def _append_data(", "def _append(")
    monkeypatch.setenv(fallback.STRICT, "maybe")
    with pytest.raises(ValueError, match="must be true or false, not 'maybe'"):
        _chosen()


def test_a_module_of_ours_that_cannot_be_imported(
    changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ours() -> Any:
        raise ImportError("cannot import name 'Bars' from 'lumibot.entities'")

    assert class_or_lumibots("yahoo", ours, lambda: _Lumibots) is _Lumibots
    assert "cannot import name 'Bars'" in caplog.text
    monkeypatch.setenv(fallback.STRICT, "true")
    with pytest.raises(LumibotContractError):
        class_or_lumibots("yahoo", ours, lambda: _Lumibots)


def test_many_changes_are_counted(changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture) -> None:
    changed_lumibot.replace(_YAHOO, "class YahooData(", "class Yahoo(")
    assert _chosen() is _Lumibots
    more = len(check.breaches("yahoo")) - 3
    assert more > 5
    assert f" and {more} more." in caplog.text


def test_activate_leaves_lumibot_alone(changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture) -> None:
    changed_lumibot.replace(_STRATEGY, "def run_backtest(", "def run_the_backtest(")
    finders = list(sys.meta_path)
    try:
        activate()
        assert sys.meta_path == finders
    finally:
        deactivate()
    assert "_Strategy.run_backtest was removed" in caplog.text


def test_the_benchmark_is_left_to_lumibot(
    changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lumibot.strategies._strategy import _Strategy

    from lumibot_duckdb.sources.shared import benchmark

    monkeypatch.setattr(_Strategy, "_lumibot_duckdb_serves", False, raising=False)
    before = _Strategy._dump_benchmark_stats
    changed_lumibot.replace(_STRATEGY, "def _dump_benchmark_stats(self)", "def _dump_benchmark_stats(self, more)")
    benchmark.serve_benchmarks_from_store()
    assert _Strategy._dump_benchmark_stats is before
    assert "Lumibot downloads the benchmark" in caplog.text


def test_the_lifecycle_is_not_followed(changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture) -> None:
    from lumibot_duckdb.sources.shared.lifecycle import track_strategies

    class Base:
        pass

    changed_lumibot.replace(_STRATEGY, "def run_backtest(", "def run_the_backtest(")
    track_strategies(Base)
    assert not hasattr(Base, "run_backtest")
    assert "named after their script" in caplog.text


def test_a_part_that_cannot_do_without(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace("lumibot.indicators.indicators", "def _dispatch(", "def _send(")
    with pytest.raises(LumibotContractError, match="_dispatch was removed"):
        require("comparison")
    assert not keeps_contract("comparison", otherwise="nothing is compared")
