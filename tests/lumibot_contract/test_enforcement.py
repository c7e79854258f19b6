"""What happens on a breach: Lumibot's own behaviour and one warning, or an error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage, activate, deactivate
from lumibot_duckdb.lumibot_contract import check, enforcement
from lumibot_duckdb.lumibot_contract.enforcement import (
    LumibotContractError,
    class_or_lumibots,
    keeps_contract,
    load_or_explain,
    require,
)
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
    monkeypatch.setenv(enforcement.STRICT, "true")
    with pytest.raises(LumibotContractError, match="_append_data was removed") as raised:
        _chosen()
    assert raised.value.part == "yahoo"
    assert len(raised.value.changes) == 1
    monkeypatch.setenv(enforcement.STRICT, "false")
    assert _chosen() is _Lumibots


def test_strict_must_be_understood(changed_lumibot: ChangedLumibot, monkeypatch: pytest.MonkeyPatch) -> None:
    changed_lumibot.replace(_YAHOO, "def _append_data(", "def _append(")
    monkeypatch.setenv(enforcement.STRICT, "maybe")
    with pytest.raises(ValueError, match="must be true or false, not 'maybe'"):
        _chosen()


@pytest.mark.parametrize("kind", [ImportError, AttributeError, TypeError])
def test_a_module_of_ours_that_cannot_be_imported(
    changed_lumibot: ChangedLumibot,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
) -> None:
    def ours() -> Any:
        raise kind("cannot import name 'Bars' from 'lumibot.entities'")

    assert class_or_lumibots("yahoo", ours, lambda: _Lumibots) is _Lumibots
    assert "cannot import name 'Bars'" in caplog.text
    with pytest.raises(LumibotContractError, match=r"\(yahoo\) does not fit Lumibot .*cannot import name 'Bars'"):
        load_or_explain("yahoo", ours)
    monkeypatch.setenv(enforcement.STRICT, "true")
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


def test_each_consequence_is_logged_once(changed_lumibot: ChangedLumibot, caplog: pytest.LogCaptureFixture) -> None:
    changed_lumibot.replace("lumibot.tools.shared_bar_cache", "def validate_rows(", "def valid(")
    for consequence in ("a.parquet is not imported", "b.parquet is not imported", "a.parquet is not imported"):
        assert not keeps_contract("shared_bar_cache", otherwise=consequence)
    assert ["a.parquet" in each.getMessage() for each in caplog.records] == [True, False]
    assert keeps_contract("alpaca_cache", otherwise="nothing is imported")


def test_the_store_does_not_answer_a_client_that_it_does_not_know(
    changed_lumibot: ChangedLumibot, tmp_path: Path
) -> None:
    from lumibot_duckdb.comparison.stored_provider import served_from

    changed_lumibot.replace("lumibot.tools.ccxt_data_store", "def _get_barset_from_api(", "def _get_candles(")
    served = served_from(DuckDBDataStorage(tmp_path / "store.duckdb"))
    with pytest.raises(LumibotContractError, match="_get_barset_from_api was removed"), served:
        pass


def test_a_source_that_lumibot_has_no_class_for_is_an_error(changed_lumibot: ChangedLumibot) -> None:
    from lumibot_duckdb.backtesting import ProviderDataBacktesting

    changed_lumibot.replace("lumibot.data_sources.pandas_data", "def clean_trading_times(", "def cleaned_times(")
    with pytest.raises(LumibotContractError, match="clean_trading_times was removed"):
        ProviderDataBacktesting.using(provider=None)


def test_a_part_that_cannot_do_without(changed_lumibot: ChangedLumibot) -> None:
    changed_lumibot.replace("lumibot.indicators.indicators", "def _dispatch(", "def _send(")
    with pytest.raises(LumibotContractError, match="_dispatch was removed"):
        require("comparison")
    assert not keeps_contract("comparison", otherwise="nothing is compared")
