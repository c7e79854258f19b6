"""Calling one of our classes decides whether the instance is on the store; Lumibot's own class takes its place."""

from __future__ import annotations

import datetime as dt
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lumibot.backtesting import PandasDataBacktesting as LumibotPandasDataBacktesting
from lumibot.backtesting import YahooDataBacktesting as LumibotYahooDataBacktesting
from lumibot.entities import Asset, Data

import lumibot_duckdb.backtesting as public
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting, YahooDataBacktesting
from lumibot_duckdb.sources.registry import CLASSES
from lumibot_duckdb.sources.shared.class_substitution import lumibot_class_for, without_duckdb
from lumibot_duckdb.sources.shared.telemetry import Telemetry
from storage.frames import minute_bars

SPAN = dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 5)


class Loud(YahooDataBacktesting):  # type: ignore[misc]
    """A user's own subclass."""

    def __init__(self, *args: Any, volume: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.volume = volume

    def get_last_price(self, *args: Any, **kwargs: Any) -> str:
        return f"last price: {super().get_last_price.__func__.__module__}"


def ours_in(kind: type[Any]) -> list[str]:
    return [each.__qualname__ for each in kind.__mro__ if each.__module__.startswith("lumibot_duckdb.sources")]


@pytest.mark.parametrize("name", CLASSES)
def test_switched_off_a_class_is_lumibots_under_the_same_name(name: str) -> None:
    ours, lumibots = CLASSES[name].load(), CLASSES[name].load_lumibots()
    off = without_duckdb(ours)
    assert off is without_duckdb(ours)
    assert (off.__name__, off.__module__) == (ours.__name__, ours.__module__)
    assert issubclass(off, ours)
    assert issubclass(off, lumibots)
    assert off == lumibots
    assert "EnhancedDataSourceBacktesting" not in ours_in(off)
    theirs = {key for each in lumibots.__mro__ for key in vars(each)}
    ours_too = {key for each in off.__mro__ if each.__module__.startswith("lumibot_duckdb") for key in vars(each)}
    assert {key for key in theirs & ours_too if not key.startswith("__")} <= {"_abc_impl"}


def test_an_instance_shows_that_it_is_not_on_the_store(tmp_path: Path) -> None:
    configured = YahooDataBacktesting.using(
        tmp_path / "none.duckdb", as_of=dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    )
    source = configured(*SPAN, use_duckdb=False, storage=tmp_path / "none.duckdb", max_memory=10)
    assert isinstance(source, YahooDataBacktesting)
    assert isinstance(source, LumibotYahooDataBacktesting)
    assert source.use_duckdb is False
    assert source.telemetry == Telemetry()
    assert source.as_of == dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    assert not (tmp_path / "none.duckdb").exists()


def test_what_users_add_in_a_subclass_stays() -> None:
    on, off = (Loud(*SPAN, volume=3, use_duckdb=use_duckdb) for use_duckdb in (True, False))
    assert (on.use_duckdb, off.use_duckdb) == (True, False)
    assert on.volume == off.volume == 3
    assert off.get_last_price(Asset("SPY")) == "last price: lumibot.data_sources.yahoo_data"
    assert isinstance(off, Loud)


def test_a_subclass_can_be_switched_off_permanently_but_not_in_its_constructor() -> None:
    class Off(YahooDataBacktesting):  # type: ignore[misc]
        use_duckdb = False

    class TooLate(YahooDataBacktesting):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, use_duckdb=False, **kwargs)

    assert Off(*SPAN).use_duckdb is False
    with pytest.raises(TypeError, match="pass it where the class is called"):
        TooLate(*SPAN)


def test_help_shows_the_arguments_of_the_constructor() -> None:
    assert {"datetime_start", "datetime_end"} <= set(inspect.signature(YahooDataBacktesting).parameters)


# -- releases of Lumibot that ours do not fit -----------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
def test_the_lumibots_is_lumibots_class_and_takes_our_settings(name: str, tmp_path: Path) -> None:
    lumibots = lumibot_class_for(name)
    assert lumibots == CLASSES[name].load_lumibots()
    configured = lumibots.using(tmp_path / "none.duckdb", as_of=None, max_memory=1)
    assert (configured.__name__, configured.use_duckdb) == (name, False)
    assert configured == CLASSES[name].load_lumibots()
    assert not (tmp_path / "none.duckdb").exists()


def test_the_lumibots_imports_no_source() -> None:
    script = """
import sys
from lumibot_duckdb.sources.registry import CLASSES
from lumibot_duckdb.sources.shared.class_substitution import lumibot_class_for
for name in CLASSES:
    lumibot_class_for(name).using()
ours = [name for name in sys.modules if name.startswith("lumibot_duckdb")]
print([name for name in ours if name.endswith((".source", ".client", ".enhanced_data_source")) or ".windows." in name])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_lumibots_for_own_bars_reads_them_in_full(tmp_path: Path) -> None:
    storage = DuckDBDataStorage(tmp_path / "bars.duckdb")
    frame = minute_bars(rows=5)
    storage.store_ohlcv_data("AAA", frame, "own", "minute")
    lumibots = lumibot_class_for("PandasDataBacktesting")
    sources = [
        kind.using(storage, source="own")(*SPAN, **settings)
        for kind, settings in ((lumibots, {}), (PandasDataBacktesting, {"use_duckdb": False}))
    ]
    for source in sources:
        ((key, data),) = source._data_store.items()
        assert key == (Asset("AAA"), Asset("USD", "forex"))
        assert type(data) is Data
        assert data.df["close"].tolist() == frame["close"].tolist()
        assert type(source).update_date_index is LumibotPandasDataBacktesting.update_date_index
    with pytest.raises(ValueError, match="timestep must be"):
        lumibots.using(storage, timestep="week")


def test_a_source_that_does_not_fit_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    enforcement = pytest.importorskip("lumibot_duckdb.lumibot_contract.enforcement")
    breach = SimpleNamespace(is_unknown_source=False)
    monkeypatch.setattr(enforcement, "breaches", lambda part: (breach,) if part == "yahoo" else ())
    monkeypatch.delenv("LUMIBOT_DUCKDB_STRICT", raising=False)
    assert [name for name in CLASSES if not getattr(public, name).use_duckdb] == ["YahooDataBacktesting", "YahooData"]
    monkeypatch.setenv("LUMIBOT_DUCKDB_STRICT", "true")
    with pytest.raises(enforcement.LumibotContractError):
        public.YahooData  # noqa: B018
    assert public.AlpacaBacktesting.use_duckdb
