"""Mistakes on the command line: errors refer to the right help and suggest what was meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.files import PROGRAM, Command, csv_of
from lumibot_duckdb.cli.main import main

Write = Callable[..., Path]


def test_without_arguments_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr() == (text, "")


def test_the_help_has_every_command_in_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for group in ("fill the store:", "query the store:", "run backtests:", "set up:", "options:", "examples:"):
        assert group in lines
    assert lines[lines.index("query the store:") + 1].split()[0] == "status"


def test_python_runs_the_package_as_the_command() -> None:
    for arguments in (["--version"], ["sql", "--help"], ["imprt"]):
        ended = [
            subprocess.run([*program, *arguments], capture_output=True, text=True)
            for program in ([sys.executable, "-m", "lumibot_duckdb"], [PROGRAM])
        ]
        assert ended[0].stdout == ended[1].stdout
        assert ended[0].stderr == ended[1].stderr
        assert ended[0].returncode == ended[1].returncode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imprt"], "argument COMMAND: invalid choice: 'imprt'; did you mean import? (see lumibot-duckdb --help)"),
        (["--versoin"], "unrecognized arguments: --versoin; did you mean --version? (see lumibot-duckdb --help)"),
        (
            ["import", "--timezon", "UTC", "x.csv"],
            "unrecognized arguments: --timezon; did you mean --timezone? (see lumibot-duckdb import --help)",
        ),
        (
            ["import", "x.csv", "--timezon=UTC"],
            "unrecognized arguments: --timezon; did you mean --timezone? (see lumibot-duckdb import --help)",
        ),
        (
            ["--timezon", "UTC", "import", "x.csv"],
            "unrecognized arguments: --timezon; did you mean --timezone? (see lumibot-duckdb import --help)",
        ),
        (
            ["--limit", "5", "sql", "SELECT 1"],
            "unrecognized arguments: --limit is an option of sql and comes after its name "
            "(see lumibot-duckdb sql --help)",
        ),
        (["status", "AAPL", "--xyz"], "unrecognized arguments: --xyz (see lumibot-duckdb status --help)"),
        (
            ["status", "-DASH"],
            "unrecognized arguments: -DASH; write a name that begins with a dash after --, as in lumibot-duckdb status "
            "-- -DASH (see lumibot-duckdb status --help)",
        ),
        (
            ["import", "x.csv", "--symbol", "-DASH"],
            "argument --symbol: expected one argument; if it begins with a dash, write --symbol=VALUE "
            "(see lumibot-duckdb import --help)",
        ),
        (["path", "here"], "unrecognized arguments: here (see lumibot-duckdb path --help)"),
        (["sql"], "the following arguments are required: QUERY (see lumibot-duckdb sql --help)"),
        (
            ["sql", "SELECT 1", "--limit", "many"],
            "argument --limit: 'many' is not a whole number of at least 1 (see lumibot-duckdb sql --help)",
        ),
        (
            ["completion", "bsh"],
            "argument SHELL: invalid choice: 'bsh'; did you mean bash? (see lumibot-duckdb completion --help)",
        ),
        (
            ["completion", "powershell"],
            "argument SHELL: invalid choice: 'powershell' (choose from bash, zsh, fish) "
            "(see lumibot-duckdb completion --help)",
        ),
    ],
)
def test_an_error_refers_to_the_help_of_its_command(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"lumibot-duckdb: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "--asset-type", "stok", "x"], "option; did you mean stock?"),
        (["import", "--timeframe", "minit", "x"], "did you mean minute?"),
        (["import", "--timezone", "America/NewYork", "x"], "did you mean America/New_York?"),
        (
            ["import", "--asset-type", "future", "--expiration", "March", "x"],
            "--expiration March is not a date such as 2024-03-15",
        ),
        (["run", "my_strategie.py"], "No such file or directory; did you mean my_strategy.py?"),
        (["compare", "my_strategie.py"], "there is no script my_strategie.py; did you mean my_strategy.py?"),
    ],
)
def test_misspelled_values_get_suggestions(command: Command, write: Write, arguments: list[str], message: str) -> None:
    write("my_strategy.py", "pass")
    ended = command(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_a_misspelled_source_gets_a_suggestion(command: Command) -> None:
    ended = command("migrate", "--only", "polgon")
    assert ended.code == 2
    assert ended.err.endswith("did you mean polygon?\n")


def test_a_misspelled_symbol_or_file_gets_a_suggestion(command: Command, write: Write) -> None:
    write("AAPL.csv", csv_of(["2024-01-02", "2024-01-03"]))
    assert "  APPL.csv: there is no such file; did you mean AAPL.csv?\n" in command("import", "APPL.csv").out
    assert command("import", "AAPL.csv").code == 0
    assert command("status", "appl").err == "lumibot-duckdb: the store has no bars of appl; did you mean AAPL?\n"
