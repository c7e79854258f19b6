"""Completion in the shells themselves: what Tab completes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest

from cli.files import PROGRAM, Command
from lumibot_duckdb.cli.completers import cache_sources
from lumibot_duckdb.sources.registry import sources_with_cache
from lumibot_duckdb.storage.api import AssetKey
from storage.frames import minute_bars

# Each prints the completions of each line that it is given, one to a line, and a mark after them.
END = "-- end --"
SHELLS = {
    "bash": """
        eval "$(lumibot-duckdb completion bash)"
        for LINE; do
            read -ra COMP_WORDS <<< "$LINE"; [[ $LINE == *" " ]] && COMP_WORDS+=("")
            COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9 COMPREPLY=()
            _python_argcomplete lumibot-duckdb "${COMP_WORDS[COMP_CWORD]}" 2> /dev/null
            printf '%s\\n' "${COMPREPLY[@]}" "$END"
        done
    """,
    "zsh": """
        autoload -Uz compinit && compinit -u -D
        eval "$(lumibot-duckdb completion zsh)"
        [[ ${_comps[lumibot-duckdb]} == _python_argcomplete ]] || exit 1
        _describe() { print -l -- "${(@)${(P)2}%%:*}" }
        for LINE; do
            words=(lumibot-duckdb) BUFFER=$LINE CURSOR=${#LINE}
            _python_argcomplete
            print -r -- $END
        done
    """,
    "fish": """
        lumibot-duckdb completion fish | source
        for LINE in $argv
            complete -C "$LINE"
            echo $END
        end
    """,
}

Complete = Callable[..., list[set[str]]]


# Starting zsh's completion takes several times as long as the others'.
@pytest.fixture(params=["bash", "fish", pytest.param("zsh", marks=pytest.mark.long)])
def complete(request: pytest.FixtureRequest, command: Command) -> Complete:
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")

    def completions(*lines: str) -> list[set[str]]:
        environment = {
            **os.environ,
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "LUMIBOT_DUCKDB_PATH": str(command.store),
            "HOME": str(command.folder),
            "END": END,
        }
        name = [] if request.param == "fish" else [request.param]  # what $0 is
        options = ["--norc"] if request.param == "bash" else []
        ended = subprocess.run(
            [shell, *options, "-c", SHELLS[request.param], *name, *lines],
            cwd=command.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        *answers, rest = ended.stdout.split(f"{END}\n")
        assert (len(answers), rest) == (len(lines), "")
        return [
            {entry.partition("\t")[0].strip() for entry in answer.splitlines() if entry.strip()} for answer in answers
        ]

    return completions


def test_commands_options_and_choices_are_completed(complete: Complete) -> None:
    expected = {
        "lumibot-duckdb s": {"status", "sql", "snapshot", "sweep"},
        "lumibot-duckdb results rep": {"report"},
        "lumibot-duckdb import --time": {"--timeframe", "--timezone", "--time-column"},
        "lumibot-duckdb import --epoch ": {"s", "ms", "us", "ns"},
        "lumibot-duckdb import --asset-type cr": {"crypto", "crypto_future"},
        "lumibot-duckdb migrate --only polygon,c": {"polygon,ccxt"},
        "lumibot-duckdb completion z": {"zsh"},
        "lumibot-duckdb config set prune.m": {"prune.max-size"},
        "lumibot-duckdb indicators --with boll": {"bollinger"},
        "lumibot-duckdb chart AAPL --with supert": {"supertrend"},
    }
    commands, *found = complete("lumibot-duckdb ", *expected)
    assert {"import", "migrate", "completion"} <= commands
    assert dict(zip(expected, found, strict=True)) == expected


def test_files_are_completed(complete: Complete, command: Command) -> None:
    (command.folder / "strategy.py").write_text("")
    (command.folder / "stored").mkdir()
    (found,) = complete("lumibot-duckdb run st")
    assert {entry.rstrip("/") for entry in found} == {"strategy.py", "stored"}


def test_symbols_and_sources_come_from_the_store(complete: Complete, command: Command) -> None:
    assert complete("lumibot-duckdb status A") == [set()]
    assert not command.store.exists()
    storage = command.storage()
    for asset in ("AAPL", "AMZN", "MSFT", AssetKey("BTC", "crypto", "USD")):
        storage.store_ohlcv_data(asset, minute_bars(), "my_source", "minute")
    storage.snapshot("before")
    storage.close()
    expected = {
        "lumibot-duckdb snapshot b": {"before"},
        "lumibot-duckdb status A": {"AAPL", "AMZN"},
        "lumibot-duckdb status b": {"BTC/USD"},
        "lumibot-duckdb import --source m": {"my_source"},
    }
    assert dict(zip(expected, complete(*expected), strict=True)) == expected


def test_the_sources_of_caches_are_those_of_the_migration() -> None:
    assert set(cache_sources()) == set(sources_with_cache())
