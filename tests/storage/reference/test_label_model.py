"""Random changes of labels in two stores, with renames, deletions, merges, exports and copies, beside a plain model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.storage.errors import SeriesNotFoundError, StoreNotFoundError, UpkeepRefusedError
from storage.frames import minute_bars

FRAME = minute_bars(rows=2)
SYMBOLS = st.sampled_from("ABC")
NAMES = st.sampled_from(["sector", "index"])
VALUES = st.sets(st.sampled_from("xyz"), min_size=1)
PLACES = st.sampled_from([0, 1])
Key: TypeAlias = "tuple[str, str]"


@dataclass
class Model:
    """The symbols with bars, and the values of labels with the step in which they were set."""

    stored: set[str] = field(default_factory=set)
    labels: dict[Key, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def knows(self, symbol: str) -> bool:
        return symbol in self.stored or any(labelled == symbol for labelled, _ in self.labels)

    def keep_newer(self, incoming: dict[Key, tuple[int, tuple[str, ...]]]) -> None:
        for key, found in incoming.items():
            self.labels[key] = max(self.labels.get(key, found), found)


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.stores = [DuckDBDataStorage(self.folder / f"{place}" / "s.duckdb") for place in (0, 1)]
        self.models = [Model(), Model()]
        self.steps = 0

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    @rule(place=PLACES, symbol=SYMBOLS)
    def write(self, place: int, symbol: str) -> None:
        self.stores[place].store_ohlcv_data(symbol, FRAME, "test", "minute")
        self.models[place].stored.add(symbol)

    @rule(place=PLACES, symbols=st.lists(SYMBOLS, min_size=1, max_size=2), name=NAMES, values=VALUES, add=st.booleans())
    def label(self, place: int, symbols: list[str], name: str, values: set[str], add: bool) -> None:
        store, model = self.stores[place], self.models[place]
        self.steps += 1
        if not all(map(model.knows, symbols)):
            with pytest.raises((SeriesNotFoundError, StoreNotFoundError)):
                store.label(symbols, name, values, add=add)
            symbols = [symbol for symbol in symbols if model.knows(symbol)]
            if not store.path.exists():
                return
        report = store.label([*symbols, "NONE"], name.upper(), values, add=add, skip_unknown=True)
        assert report.skipped == ("NONE",)
        before = {symbol: model.labels.get((symbol, name), (0, ()))[1] for symbol in symbols}
        for symbol, earlier in before.items():
            model.labels[symbol, name] = (self.steps, tuple(sorted(values.union(earlier if add else ()))))
        changes = {change.asset.symbol: (change.before, change.after) for change in report.changes}
        after = {symbol: model.labels[symbol, name][1] for symbol in before}
        assert changes == {
            symbol: (before[symbol], after[symbol]) for symbol in before if before[symbol] != after[symbol]
        }

    @rule(place=PLACES, symbol=SYMBOLS, name=st.none() | NAMES, value=st.none() | st.sampled_from("xyz"))
    def unlabel(self, place: int, symbol: str, name: str | None, value: str | None) -> None:
        store, model = self.stores[place], self.models[place]
        self.steps += 1
        if not model.knows(symbol):
            return
        value = None if name is None else value
        store.unlabel(symbol, name, value)
        for key in [key for key in model.labels if key[0] == symbol and name in (None, key[1])]:
            kept = () if value is None else tuple(each for each in model.labels.pop(key)[1] if each != value)
            if kept:
                model.labels[key] = (self.steps, kept)
            else:
                model.labels.pop(key, None)

    @rule(place=PLACES, symbol=SYMBOLS)
    def delete(self, place: int, symbol: str) -> None:
        self.stores[place].delete_series(symbol)
        self.models[place].stored.discard(symbol)

    @rule(place=PLACES, old=SYMBOLS, new=SYMBOLS)
    def rename(self, place: int, old: str, new: str) -> None:
        store, model = self.stores[place], self.models[place]
        if old not in model.stored or old == new:
            return
        here = {name: found for (symbol, name), found in model.labels.items() if symbol == old}
        there = {name: found for (symbol, name), found in model.labels.items() if symbol == new}
        if any(here[name][1] != there[name][1] for name in here.keys() & there.keys()):
            with pytest.raises(UpkeepRefusedError, match="have different labels"):
                store.rename(old, new)
            return
        assert store.rename(old, new).labels == len(here)
        model.stored = (model.stored - {old}) | {new}
        for name, found in here.items():
            del model.labels[old, name]
            model.labels[new, name] = max(found, there.get(name, found))

    @rule(place=PLACES)
    def merge(self, place: int) -> None:
        other = 1 - place
        if self.stores[other].path.exists():
            before = dict(self.models[place].labels)
            self.models[place].stored |= self.models[other].stored
            self.models[place].keep_newer(self.models[other].labels)
            dry = self.stores[place].merge(self.stores[other].path, dry_run=True)
            assert self.stores[place].merge(self.stores[other].path).labels == dry.labels
            changed = [key for key, found in self.models[place].labels.items() if before.get(key) != found]
            assert dry.labels == len(changed)

    @rule(place=PLACES)
    def export_and_import(self, place: int) -> None:
        model, other = self.models[place], self.models[1 - place]
        if model.stored:
            self.steps += 1
            self.stores[place].export(self.folder / f"exported-{self.steps}")
            self.stores[1 - place].import_exported(self.folder / f"exported-{self.steps}")
            other.stored |= model.stored
            other.keep_newer({key: found for key, found in model.labels.items() if key[0] in model.stored})

    @rule(place=PLACES)
    def copy(self, place: int) -> None:
        """A compacted store, and one that was restored from its backup, have the same labels."""
        store = self.stores[place]
        if store.path.exists():
            self.steps += 1
            store.backup(self.folder / f"backup-{self.steps}.duckdb")
            store.compact()
            store.restore(self.folder / f"backup-{self.steps}.duckdb")

    @invariant()
    def labels_are_those_of_the_model(self) -> None:
        for store, model in zip(self.stores, self.models, strict=True):
            found: dict[Key, list[str]] = {}
            for symbol, asset_type, exchange, name, value in store.labels().itertuples(index=False):
                assert (asset_type, exchange) == ("stock", "")
                found.setdefault((symbol, name), []).append(value)
            assert {key: tuple(values) for key, values in found.items()} == {
                key: values for key, (_, values) in model.labels.items()
            }
            for name in {name for _, name in found}:
                labelled = {symbol for symbol, each in found if each == name}
                assert {asset.symbol for asset in store.labelled(name)} == labelled & model.stored


TestLabels = TwoStores.TestCase
TestLabels.settings = examples(10, stateful_step_count=15)
