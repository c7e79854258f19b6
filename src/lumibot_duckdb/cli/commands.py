"""The commands, in the order and the groups in which `lumibot-duckdb --help` shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, what it does, and the module that implements it.

    The module has `configure(parser)`, which adds the options and sets the parser's default `run` to a function of the
    parsed arguments. That function returns the exit code or, if it leaves the process to a script, a function that
    runs the script.
    """

    name: str
    module: str
    purpose: str


GROUPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    (
        "fill the store",
        (
            Command("import", "import_files", "import bars from CSV, Parquet, Feather and Arrow files"),
            Command("migrate", "migrate", "copy Lumibot's caches into the store"),
        ),
    ),
    (
        "query the store",
        (
            Command("status", "status", "show which bars are in the store"),
            Command("sql", "sql", "run an SQL query on the store"),
            Command("indicators", "indicators", "compute indicators of stored bars"),
            Command("correlate", "correlate", "compute correlations of stored assets"),
            Command("chart", "chart", "draw stored bars, indicators and trades"),
            Command("path", "path", "print the path of the store"),
        ),
    ),
    (
        "look after the store",
        (
            Command("compact", "compact", "make the store small, and fast to read"),
            Command("backup", "backup", "copy the whole store to a file"),
            Command("restore", "restore", "replace the store by a backup"),
            Command("replica", "replica", "keep a read-only copy for notebooks and other programs"),
            Command("publish", "publish", "upload a snapshot to S3 or a folder, for other machines"),
            Command("export", "export", "write series, or the result of a query, to files that import restores"),
            Command("verify", "verify", "check the store and its bars, and repair what is damaged"),
            Command("forget", "forget", "let the next backtest request bars again; no bar is deleted"),
            Command("delete", "delete", "delete series from the store"),
            Command("label", "label", "label assets with their sector or anything else, to group them by"),
            Command("rename", "rename", "give bars another symbol, from a date on or altogether"),
            Command("merge", "merge", "add everything that another store has"),
            Command("prune", "prune", "remove old bars, and keep the store below a size"),
            Command("snapshot", "snapshot", "name the present state of all bars, and keep it"),
            Command("config", "config", "show and change the settings of the store"),
        ),
    ),
    (
        "run backtests",
        (
            Command("run", "run", "run an unmodified script on the store"),
            Command("compare", "compare", "run a script with and without the store, and compare the results"),
            Command("sweep", "sweep", "run a script with many combinations of its parameters, and keep all results"),
            Command("results", "results", "show and compare results of sweeps and of recorded backtests"),
            Command("demo", "demo", "compare Lumibot and lumibot-duckdb on example backtests"),
        ),
    ),
    (
        "trade live",
        (
            Command("live", "live", "show, check and backtest what was recorded of live trading"),
            Command("record", "record", "record the bars that a provider streams, as they close"),
        ),
    ),
    (
        "set up",
        (
            Command("doctor", "doctor", "check the installation, the settings and the store, and test every source"),
            Command("completion", "completion", "print the completion script for a shell"),
        ),
    ),
)

COMMANDS = tuple(command for _, commands in GROUPS for command in commands)
