"""What a shell may complete a word to. argcomplete calls the completers; they must not fail or take long."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

Completer: TypeAlias = Callable[..., Iterable[str]]

TIMEFRAMES = ("minute", "5minute", "15minute", "30minute", "hour", "4hour", "day", "week", "month")
_WAIT_SECONDS = 0.5


def completed_by(action: argparse.Action, completer: Completer) -> None:
    """Let a completer complete the values of an option or argument. Without one, they are completed as file names."""
    action.completer = completer  # type: ignore[attr-defined]


def nothing(**_: Any) -> Iterable[str]:
    """Complete to nothing, not even to file names."""
    return ()


def words(known: Iterable[str]) -> Completer:
    """Complete to fixed words."""
    return lambda **_: known


def comma_separated(completer: Completer) -> Completer:
    """Complete the last word of a list that is separated by commas."""

    def complete(prefix: str, **context: Any) -> Iterable[str]:
        head, comma, last = prefix.rpartition(",")
        return [f"{head}{comma}{each}" for each in completer(prefix=last, **context)]

    return complete


def time_zones(**_: Any) -> Iterable[str]:
    """Complete to the names of time zones."""
    from zoneinfo import available_timezones

    return sorted(available_timezones())


def asset_types(**_: Any) -> Iterable[str]:
    """Complete to the types of assets that can be imported."""
    from lumibot_duckdb.importing.symbols import ASSET_TYPES

    return ASSET_TYPES


def cache_sources(**_: Any) -> Iterable[str]:
    """Complete to the sources whose caches can be migrated."""
    from lumibot_duckdb.sources.registry import sources_with_cache

    return sources_with_cache()


def stored_symbols(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the symbols in the store: AAPL, BTC/USD, SPY240119C00470000."""
    with suppress(Exception):
        from lumibot_duckdb.cli.assets import short_name, stored_assets
        from lumibot_duckdb.cli.store import chosen_path

        assets = stored_assets(
            chosen_path(getattr(parsed_args, "store", None), offline=True), wait_seconds=_WAIT_SECONDS, upgrade=False
        )
        return dict.fromkeys(map(short_name, assets))
    return ()


def stored_sources(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the sources of the bars in the store."""
    return _of_query(parsed_args, "SELECT DISTINCT source FROM series ORDER BY ALL")


def snapshots(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the snapshots of the store."""
    return _of_query(parsed_args, "SELECT name FROM snapshot ORDER BY name")


def label_names(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the names of the labels in the store."""
    return _of_query(parsed_args, "SELECT DISTINCT name FROM asset_labels ORDER BY name")


def labels_and_symbols(parsed_args: argparse.Namespace, prefix: str, **_: Any) -> Iterable[str]:
    """Complete to the symbols in the store, or to its labels with their values, once there is a "="."""
    if "=" in prefix:
        return _of_query(parsed_args, "SELECT DISTINCT name || '=' || value FROM asset_labels ORDER BY ALL")
    return [*stored_symbols(parsed_args), *(f"{name}=" for name in label_names(parsed_args))]


def setting_keys(**_: Any) -> Iterable[str]:
    """Complete to the settings of a store."""
    from lumibot_duckdb.storage.upkeep.settings import SETTINGS

    return SETTINGS


def sweeps(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the sweeps and recorded backtests in the results."""
    with suppress(Exception):
        from lumibot_duckdb.results import ResultsDatabase

        path = _results_path(parsed_args)
        names: list[str] = ResultsDatabase(path, wait_seconds=_WAIT_SECONDS).sweeps("arrow")["sweep"].to_pylist()
        return names
    return ()


def live_sessions(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    """Complete to the sessions of live trading in the results."""
    with suppress(Exception):
        from lumibot_duckdb.results import LiveSessions

        path = _results_path(parsed_args)
        names: list[str] = LiveSessions(path, wait_seconds=_WAIT_SECONDS).summary()["sweep"].to_pylist()
        return names
    return ()


def _results_path(parsed_args: argparse.Namespace) -> Path:
    """Return the path of the results. A published snapshot is not downloaded to find them."""
    from lumibot_duckdb.cli.store import chosen_location
    from lumibot_duckdb.results.location import results_path

    return results_path(getattr(parsed_args, "results", None), chosen_location(getattr(parsed_args, "store", None)))


def _of_query(parsed_args: argparse.Namespace, query: str) -> Iterable[str]:
    """Return the only column of a query on the store; nothing if that fails."""
    with suppress(Exception):
        from lumibot_duckdb.cli.store import chosen_path
        from lumibot_duckdb.storage.row_query import query_rows

        path = chosen_path(getattr(parsed_args, "store", None), offline=True)
        with query_rows(path, query, wait_seconds=_WAIT_SECONDS, upgrade=False) as found:
            return [name for (name,) in found.rows]
    return ()


def print_completions(parser: argparse.ArgumentParser) -> None:
    """Print the completions of the command line in the environment, and end the process."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False, validator=_starts_alike)


def _starts_alike(completion: str, prefix: str) -> bool:
    return completion.casefold().startswith(prefix.casefold())
