"""The sources of this package: one `SourceSpec` each, from which every other package learns what there is.

A source is added by a folder in `sources/` and an entry in `SOURCES`. Modules and classes are named by dotted paths and
imported when they are needed, so this module needs neither Lumibot nor pandas nor DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.sources.shared.old_cache.reader import CacheReader

_HERE = "lumibot_duckdb.sources"


@dataclass(frozen=True, slots=True)
class SourceClass:
    """A data source class that users import from `lumibot_duckdb.backtesting`.

    Parameters:
        name: its name, which is that of Lumibot's class.
        module: the module that defines ours.
        lumibot_module: the module that defines Lumibot's.
    """

    name: str
    module: str
    lumibot_module: str

    def load(self) -> type[Any]:
        """Import our class."""
        found: type[Any] = getattr(import_module(self.module), self.name)
        return found

    def load_lumibots(self) -> type[Any]:
        """Import Lumibot's class."""
        found: type[Any] = getattr(import_module(self.lumibot_module), self.name)
        return found


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Everything that other packages know of a source.

    Parameters:
        name: the word by which the store, `--only` and the contract know it: "polygon".
        title: its name in prose: "Polygon".
        classes: its public classes.
        client: the distribution of the provider's official client; None if there is no provider.
        bars: which bars it has, as the table in `docs/sources.md` says.
        mixin_without_duckdb: the mix-in "module:class" that is put before Lumibot's class when DuckDB is switched off.
        stored_provider: the module whose `answering(answers)` answers the client from the store, for `compare`; None if
            there is no provider.
        cache_readers: the readers "module:class" of Lumibot's cache files, in the order in which files are imported.
        cache_folders: folders of Lumibot's cache folder that belong to this source.
        cache_keys: environment variables with keys by which files of Lumibot's cache are named.
        credentials: environment variables with the keys that Lumibot's class insists on; one of these groups is enough.
    """

    name: str
    title: str
    classes: tuple[SourceClass, ...]
    client: str | None
    bars: str
    mixin_without_duckdb: str = f"{_HERE}.shared.lumibot_only:LumibotOnly"
    stored_provider: str | None = None
    cache_readers: tuple[str, ...] = ()
    cache_folders: tuple[str, ...] = ()
    cache_keys: tuple[str, ...] = ()
    credentials: tuple[tuple[str, ...], ...] = ()

    @property
    def contract(self) -> str:
        """The module that lists what this source relies on in Lumibot."""
        return f"lumibot_duckdb.lumibot_contract.{self.name}"

    def load_cache_readers(self) -> tuple[type[CacheReader], ...]:
        """Import the readers of Lumibot's cache files."""
        return tuple(load(path) for path in self.cache_readers)


def load(path: str) -> Any:
    """Import what "module:name" names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


POLYGON = SourceSpec(
    name="polygon",
    title="Polygon",
    classes=(
        SourceClass("PolygonDataBacktesting", f"{_HERE}.polygon.source", "lumibot.backtesting.polygon_backtesting"),
    ),
    client="polygon-api-client",
    bars="stocks, options, crypto, forex, indices; minutes, hours, days",
    stored_provider=f"{_HERE}.polygon.stored_provider",
    cache_readers=(
        f"{_HERE}.polygon.old_cache.bars:PolygonBarsReader",
        f"{_HERE}.polygon.old_cache.chains:PolygonChainsReader",
    ),
    cache_folders=("polygon",),
    credentials=(("POLYGON_API_KEY",),),
)

YAHOO = SourceSpec(
    name="yahoo",
    title="Yahoo",
    classes=(
        SourceClass("YahooDataBacktesting", f"{_HERE}.yahoo.source", "lumibot.backtesting.yahoo_backtesting"),
        SourceClass("YahooData", f"{_HERE}.yahoo.source", "lumibot.data_sources.yahoo_data"),
    ),
    client="yfinance",
    bars="stocks, funds, futures, indices, crypto; days, 15 minutes, minutes",
    stored_provider=f"{_HERE}.yahoo.stored_provider",
    cache_readers=(f"{_HERE}.yahoo.old_cache.reader:YahooReader",),
    cache_folders=("yahoo",),
)

ALPACA = SourceSpec(
    name="alpaca",
    title="Alpaca",
    classes=(SourceClass("AlpacaBacktesting", f"{_HERE}.alpaca.source", "lumibot.backtesting.alpaca_backtesting"),),
    client="alpaca-py",
    bars="stocks, options, crypto; minutes, hours, days and their multiples",
    stored_provider=f"{_HERE}.alpaca.stored_provider",
    cache_readers=(
        f"{_HERE}.alpaca.old_cache.reader:AlpacaReader",
        f"{_HERE}.alpaca.old_cache.reader:AlpacaChainReader",
        # After the files that Lumibot reads first, so that backtests have the results that they had on those.
        f"{_HERE}.alpaca.old_cache.shared_bars:SharedBarReader",
    ),
    cache_folders=("alpaca", "bars"),
    cache_keys=("ALPACA_API_KEY", "APCA_API_KEY_ID", "ALPACA_OAUTH_TOKEN"),
    credentials=(("ALPACA_API_KEY", "ALPACA_API_SECRET"), ("ALPACA_OAUTH_TOKEN",)),
)

CCXT = SourceSpec(
    name="ccxt",
    title="CCXT",
    classes=(
        SourceClass("CcxtBacktesting", f"{_HERE}.ccxt.source", "lumibot.backtesting.ccxt_backtesting"),
        SourceClass("CcxtBacktestingData", f"{_HERE}.ccxt.source", "lumibot.data_sources.ccxt_backtesting_data"),
    ),
    client="ccxt",
    bars="crypto of any exchange that ccxt supports; minutes, hours, days",
    stored_provider=f"{_HERE}.ccxt.stored_provider",
    cache_readers=(f"{_HERE}.ccxt.old_cache.reader:CcxtReader",),
)

OWN_BARS = SourceSpec(
    name="own_bars",
    title="your own bars",
    classes=(
        SourceClass("PandasDataBacktesting", f"{_HERE}.own_bars.source", "lumibot.backtesting.pandas_backtesting"),
        SourceClass("PandasData", f"{_HERE}.own_bars.source", "lumibot.data_sources.pandas_data"),
    ),
    client=None,
    bars="the frames that a script passes, the bars that you store, and those that the other sources have stored",
    mixin_without_duckdb=f"{_HERE}.own_bars.stored_frames:StoredFrames",
)

SOURCES: Mapping[str, SourceSpec] = MappingProxyType(
    {spec.name: spec for spec in (POLYGON, YAHOO, ALPACA, CCXT, OWN_BARS)}
)
"""All sources by name, in the order in which the docs list them and `migrate` imports their caches."""

SPEC_OF_CLASS: Mapping[str, SourceSpec] = MappingProxyType(
    {each.name: spec for spec in SOURCES.values() for each in spec.classes}
)
"""The source that each public class belongs to, by the name of the class."""

CLASSES: Mapping[str, SourceClass] = MappingProxyType(
    {each.name: each for spec in SOURCES.values() for each in spec.classes}
)
"""All public classes by name."""

DAILY_HISTORY = f"{_HERE}.yahoo.daily_history:daily_history"
"""The function that benchmarks and risk-free rates come from, on every source: they are Yahoo's in Lumibot, too."""


def replaced_by_activate() -> dict[str, str]:
    """Return the classes that `activate()` replaces, by name, with the module of Lumibot that defines each."""
    return {each.name: each.lumibot_module for spec in SOURCES.values() for each in spec.classes}


def sources_with_cache() -> tuple[str, ...]:
    """Return the names of the sources whose Lumibot cache can be imported."""
    return tuple(name for name, spec in SOURCES.items() if spec.cache_readers)
