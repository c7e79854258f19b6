"""A reader that does not fit the installed Lumibot is left out, and the others continue."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lumibot_duckdb.lumibot_contract import enforcement
from lumibot_duckdb.lumibot_contract.catalogue import requirements_of
from lumibot_duckdb.sources.registry import SOURCES
from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader
from migration.caches import Cache

BARS = "stock_OLD_USD_minute.parquet"
READERS = [reader for spec in SOURCES.values() for reader in spec.load_cache_readers()]


@pytest.fixture
def without_shared_bars(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache of Polygon and of Alpaca's shared bars, on a release of Lumibot without these."""
    breach = SimpleNamespace(is_unknown_source=False)
    monkeypatch.setattr(enforcement, "breaches", lambda part: (breach,) if part == "shared_bar_cache" else ())
    monkeypatch.setattr(enforcement, "_warned", set())
    monkeypatch.delenv(enforcement.STRICT, raising=False)
    folder = cache.folder / "bars" / "v1" / "alpaca" / "account" / "series"
    folder.mkdir(parents=True)
    for year in (2022, 2023):
        (folder / f"{year}.parquet").write_text("bars")
    return cache.of_release("4.1.3")


def test_it_is_left_out_with_one_warning_that_names_its_files(
    without_shared_bars: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(without_shared_bars.migrate()) == [BARS]
    (left_alone,) = without_shared_bars.plan().left_alone
    (record,) = caplog.records
    first = "bars/v1/alpaca/account/series/2023.parquet"
    assert f"So Alpaca shared bars are not imported: {first} and 1 more." in record.getMessage()
    assert (left_alone.where, left_alone.files, left_alone.unknown) == ("bars/", 2, True)
    assert first in left_alone.examples
    assert "installed release of Lumibot" in left_alone.reason


def test_nothing_is_said_of_files_that_were_not_requested(
    without_shared_bars: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    plan = without_shared_bars.plan("polygon")
    assert [kind.reader.name for kind in plan.kinds] == ["Polygon bars"]
    assert not caplog.records


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_its_part_of_the_contract(reader: type[CacheReader]) -> None:
    assert requirements_of(reader.contract)
