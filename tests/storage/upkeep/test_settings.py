"""The settings of a store: typed, checked, and kept in the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.connection.store_connection import StoreConnection
from lumibot_duckdb.storage.errors import SettingError, StoreDamagedError
from lumibot_duckdb.storage.upkeep.prune_rule import PruneRule
from lumibot_duckdb.storage.upkeep.settings import SETTINGS


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("prune.max-size", "20GB", 20 * 10**9),
        ("prune.max-size", "1.5 tb", 1_500 * 10**9),
        ("prune.max-size", "none", None),
        ("prune.automatic", "on", True),
        ("versions.keep", "2w", timedelta(14)),
        ("versions.keep", "0d", timedelta(0)),
        ("prune.rules", "1Y source=Polygon timeframe=1min", (PruneRule(timedelta(365), (), "polygon", "minute"),)),
        ("prune.rules", '1d symbol="SPY * option,Q"', (PruneRule(timedelta(1), ("SPY * option", "Q")),)),
        ("prune.rules", "1d adjustment=", (PruneRule(timedelta(1), adjustment=""),)),
        ("prune.rules", "none", ()),
        ("prune.rules", "forever symbol=SPY,Q*;90d;", (PruneRule(None, ("SPY", "Q*")), PruneRule(timedelta(90)))),
    ],
)
def test_texts_and_values(storage: DuckDBDataStorage, key: str, text: str, value: Any) -> None:
    storage.settings.set(key, text)
    other = DuckDBDataStorage(storage.path)
    assert other.settings.get(key) == value
    other.settings.set(key, value)
    assert storage.settings.get(key) == value
    assert storage.settings.set_values() == {key: value}
    storage.settings.unset(key)
    assert storage.settings.get(key) == SETTINGS[key].default
    assert storage.settings.set_values() == {}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("prune.maxsize", "20GB", r"no setting 'prune.maxsize'; did you mean prune.max-size\?"),
        ("xyz", "1", "no setting 'xyz'; there are prune.rules, "),
        ("prune.max-size", "20", "'20' is not a size"),
        ("prune.max-size", "0GB", "is not a size"),
        ("prune.max-size", 1.5, "prune.max-size cannot be 1.5"),
        ("prune.automatic", "yes", "'yes' is neither on nor off"),
        ("prune.automatic", 2, "prune.automatic cannot be 2"),
        ("versions.keep", "1 day", "'1 day' is not an age"),
        ("versions.keep", "99999999d", "is not an age"),
        ("versions.keep", timedelta(hours=5), "not a whole number of days"),
        ("prune.rules", "symbol=SPY", "'symbol=SPY' is not an age"),
        ("prune.rules", "1d SPY", "'SPY' in the rule '1d SPY'"),
        ("prune.rules", "1d symbol=A symbol=B", "twice"),
        ("prune.rules", "1d symbol=SPY stock", r'quote a symbol with spaces, as in symbol="SPY \* option"'),
        ("prune.rules", '1d symbol="SPY stock', "lacks a closing quote"),
        ("prune.rules", "1d timeframe=fortnight", "fortnight"),
        ("prune.rules", "1d timeframe=5minit", r"did you mean 5minute\?"),
        ("prune.rules", "1d source=", "'source=' in the rule"),
        ("prune.rules", "1d; 2d source=x", r"the rule '2d source=x' never applies, because '1d' before it"),
        ("prune.rules", [PruneRule(None), PruneRule(timedelta(1))], "the rule '1d' never applies"),
        ("prune.rules", "1d source=a|b", "cannot name a source"),
        ("prune.rules", ["1x"], "is not an age"),
    ],
)
def test_mistakes(storage: DuckDBDataStorage, key: str, value: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        storage.settings.set(key, value)
    assert storage.settings.set_values() == {}
    assert not storage.path.exists()


def test_unknown_keys(storage: DuckDBDataStorage) -> None:
    for act in (storage.settings.get, storage.settings.unset):
        with pytest.raises(SettingError, match="no setting"):
            act("prune.rule")


@pytest.mark.older_duckdb
def test_settings_of_other_releases_are_kept_and_ignored(storage: DuckDBDataStorage) -> None:
    storage.settings.set("versions.keep", "3d")
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("INSERT INTO {db}.setting VALUES ('later.setting', '{}')")
    storage.compact()
    assert storage.settings.set_values() == {"versions.keep": timedelta(3)}
    with StoreConnection.of(storage.path).write() as cursor:
        cursor.execute("UPDATE {db}.setting SET value = 'junk' WHERE key = 'versions.keep'")
        ((count,),) = cursor.rows("SELECT count(*) FROM {db}.setting")
    assert count == 2
    with pytest.raises(StoreDamagedError, match=r"the setting versions\.keep"):
        storage.settings.get("versions.keep")
