"""Parses the command line. Errors are one line, suggest corrections, and refer to the help of the right command."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, NoReturn

from lumibot_duckdb import __version__
from lumibot_duckdb.cli.commands import COMMANDS, GROUPS, Command
from lumibot_duckdb.cli.errors import fail
from lumibot_duckdb.cli.suggestions import did_you_mean

_EXAMPLES = """\
examples:
  lumibot-duckdb import data/*.csv --timezone America/New_York
  lumibot-duckdb status
  lumibot-duckdb sql "SELECT asset_symbol, count(*) FROM ohlcv_data GROUP BY ALL"

The store is the one that --store names, else the one that LUMIBOT_DUCKDB_PATH names in the environment or in .env, else
the one in Lumibot's cache folder. `lumibot-duckdb COMMAND --help` describes a command. LUMIBOT_DUCKDB_DEBUG=1 shows the
traceback of an error.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **settings})

    def error(self, message: str) -> NoReturn:
        """End with an error for wrong usage."""
        option, _, problem = message.rpartition(": ")
        if problem == "expected one argument":
            message += f"; if it begins with a dash, write {option.rpartition('/')[2].rpartition(' ')[2]}=VALUE"
        self.exit(fail(f"{message} (see {self.prog} --help)", 2))

    def refuse(self, extras: Sequence[str]) -> NoReturn:
        """End with an error for arguments that no option or command takes."""
        option = next((word for word in extras if word.startswith("-")), None)
        if option is None:
            repeated = [each.option_strings[0] for each in self._actions if isinstance(each, argparse._AppendAction)]
            hint = f"; {repeated[0]} takes one value: repeat it for each" if repeated else ""
            self.error(f"unrecognized arguments: {' '.join(extras)}{hint}")
        name = option.partition("=")[0]
        hint = did_you_mean(name, self.long_options())
        if not hint and not name.startswith("--") and self._get_positional_actions():
            hint = f"; write a name that begins with a dash after --, as in {self.prog} -- {name}"
        self.error(f"unrecognized arguments: {name}{hint}")

    def long_options(self) -> list[str]:
        """Return the options of this parser that start with two dashes."""
        return [option for option in self._option_string_actions if option.startswith("--")]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = list(map(str, action.choices))
            suggestion = did_you_mean(str(value), choices) or f" (choose from {', '.join(choices)})"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{suggestion}")


class CommandParser(Parser):
    """The parser of one command. It also takes the options that may come before the command.

    Attributes:
        takes_script_arguments: Whether words after "--" are arguments of a script. They are parsed as a list of this
            name, `script_arguments`, so that options may come after the script, too.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.takes_script_arguments = False
        _add_store_option(self, default=argparse.SUPPRESS)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Return the parsed arguments, and those that are not known."""
        if not self.takes_script_arguments:
            return super().parse_known_args(args, namespace)
        words = list(args)
        end = words.index("--") if "--" in words else len(words)
        parsed, extras = super().parse_known_args(words[:end], namespace)
        parsed.script_arguments = words[end + 1 :]
        return parsed, extras

    def refuse(self, extras: Sequence[str]) -> NoReturn:
        """End with an error for arguments that no option or command takes."""
        hint = did_you_mean(extras[0].partition("=")[0], self.long_options())
        if self.takes_script_arguments and not hint:
            self.error(f"unrecognized arguments: {' '.join(extras)}; the script's own arguments come after --")
        super().refuse(extras)


class CommandLineParser(Parser):
    """The parser of the whole command line. Only the `loaded` commands have options."""

    def __init__(self, loaded: Collection[str]) -> None:
        super().__init__(
            prog="lumibot-duckdb",
            usage="lumibot-duckdb [-h] [--version] [--store PATH] COMMAND ...",
            description="Keep price bars in one DuckDB store, and run Lumibot backtests on it.",
            epilog=_EXAMPLES,
        )
        self.add_argument("--version", action="version", version=f"lumibot-duckdb {__version__}")
        _add_store_option(self, default=None)
        commands = self.add_subparsers(
            dest="subcommand", metavar="COMMAND", required=True, prog=self.prog, parser_class=CommandParser
        )
        self.commands: dict[str, CommandParser] = {
            command.name: commands.add_parser(command.name, help=command.purpose) for command in COMMANDS
        }
        for command in COMMANDS:
            if command.name in loaded:
                _load(command, self.commands[command.name])

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the parsed arguments. Raises SystemExit after a message if they are wrong."""
        self._refuse_misplaced_option(words)
        arguments, extras = self.parse_known_args(words)
        if extras:
            self.commands[arguments.subcommand].refuse(extras)
        return arguments

    def format_help(self) -> str:
        """Return the help, with the commands in groups."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        for title, commands in GROUPS:
            lines = [f"  {command.name:<12}{command.purpose}" for command in commands]
            formatter.add_text("\n".join([f"{title}:", *lines]))
        formatter.start_section(self._optionals.title)
        formatter.add_arguments(self._optionals._group_actions)
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def _refuse_misplaced_option(self, words: Sequence[str]) -> None:
        """End with an error if an unknown option comes before the command: argparse would take its value for one."""
        before = _before_command(words)
        options = [word for word in before if word.startswith("-")]
        unknown = [option for option in options if option.partition("=")[0] not in self._option_string_actions]
        if not unknown:
            return
        named = next((word for word in words[len(before) :] if word in self.commands), None)
        if named is None:
            self.refuse(unknown)
        parser = self.commands[named]
        option = unknown[0].partition("=")[0]
        if option in parser._option_string_actions:
            parser.error(f"unrecognized arguments: {option} is an option of {named} and comes after its name")
        parser.refuse(unknown)


def _before_command(words: Sequence[str]) -> list[str]:
    """Return the options that come before the command, with the value of `--store`."""
    before: list[str] = []
    is_value = False
    for word in words:
        if not is_value and not (word.startswith("-") and len(word) > 1):
            break
        before.append(word)
        is_value = not is_value and word == "--store"
    return before


def _load(command: Command, parser: argparse.ArgumentParser) -> None:
    import_module(f"lumibot_duckdb.cli.{command.module}").configure(parser)


def _add_store_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--store", metavar="PATH", default=default, help="the store: a folder, or a file ending in .duckdb"
    )
