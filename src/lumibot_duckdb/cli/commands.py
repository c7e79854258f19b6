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
            Command("path", "path", "print the path of the store"),
        ),
    ),
    (
        "look after the store",
        (
            Command("compact", "compact", "make the store small, and fast to read"),
            Command("verify", "verify", "check the store and its bars, and repair what is damaged"),
            Command("forget", "forget", "let the next backtest request bars again; no bar is deleted"),
            Command("delete", "delete", "delete series from the store"),
        ),
    ),
    (
        "run backtests",
        (
            Command("run", "run", "run an unmodified script on the store"),
            Command("compare", "compare", "run a script with and without the store, and compare the results"),
            Command("demo", "demo", "compare Lumibot and lumibot-duckdb on example backtests"),
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
