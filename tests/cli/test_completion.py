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

# Each prints the completions of the line in $LINE, one to a line.
SHELLS = {
    "bash": """
        eval "$(lumibot-duckdb completion bash)"
        read -ra COMP_WORDS <<< "$LINE"; [[ $LINE == *" " ]] && COMP_WORDS+=("")
        COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
        _python_argcomplete lumibot-duckdb "${COMP_WORDS[COMP_CWORD]}" 2> /dev/null
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        autoload -Uz compinit && compinit -u -D
        eval "$(lumibot-duckdb completion zsh)"
        [[ ${_comps[lumibot-duckdb]} == _python_argcomplete ]] || exit 1
        _describe() { print -l -- "${(@)${(P)2}%%:*}" }
        words=(lumibot-duckdb) BUFFER=$LINE CURSOR=${#LINE}
        _python_argcomplete
    """,
    "fish": """
        lumibot-duckdb completion fish | source
        complete -C "$LINE"
    """,
}

Complete = Callable[[str], set[str]]


# Starting zsh's completion takes several times as long as the others'.
@pytest.fixture(params=["bash", "fish", pytest.param("zsh", marks=pytest.mark.long)])
def complete(request: pytest.FixtureRequest, command: Command) -> Complete:
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"{request.param} is not installed")

    def completions(line: str) -> set[str]:
        environment = {
            **os.environ,
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "LUMIBOT_DUCKDB_PATH": str(command.store),
            "HOME": str(command.folder),
            "LINE": line,
        }
        ended = subprocess.run(
            [shell, *(["--norc"] if request.param == "bash" else []), "-c", SHELLS[request.param]],
            cwd=command.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return {entry.partition("\t")[0].strip() for entry in ended.stdout.splitlines() if entry.strip()}

    return completions


def test_commands_options_and_choices_are_completed(complete: Complete) -> None:
    assert complete("lumibot-duckdb s") == {"status", "sql", "snapshot"}
    assert {"import", "migrate", "completion"} <= complete("lumibot-duckdb ")
    assert complete("lumibot-duckdb import --time") == {"--timeframe", "--timezone", "--time-column"}
    assert complete("lumibot-duckdb import --epoch ") == {"s", "ms", "us", "ns"}
    assert complete("lumibot-duckdb import --asset-type cr") == {"crypto", "crypto_future"}
    assert complete("lumibot-duckdb migrate --only polygon,c") == {"polygon,ccxt"}
    assert complete("lumibot-duckdb completion z") == {"zsh"}
    assert complete("lumibot-duckdb config set prune.m") == {"prune.max-size"}
    assert complete("lumibot-duckdb indicators --with boll") == {"bollinger"}
    assert complete("lumibot-duckdb chart AAPL --with supert") == {"supertrend"}


def test_files_are_completed(complete: Complete, command: Command) -> None:
    (command.folder / "strategy.py").write_text("")
    (command.folder / "stored").mkdir()
    assert {entry.rstrip("/") for entry in complete("lumibot-duckdb run st")} == {"strategy.py", "stored"}


def test_symbols_and_sources_come_from_the_store(complete: Complete, command: Command) -> None:
    assert complete("lumibot-duckdb status A") == set()
    assert not command.store.exists()
    storage = command.storage()
    for asset in ("AAPL", "AMZN", "MSFT", AssetKey("BTC", "crypto", "USD")):
        storage.store_ohlcv_data(asset, minute_bars(), "my_source", "minute")
    storage.snapshot("before")
    storage.close()
    assert complete("lumibot-duckdb snapshot b") == {"before"}
    assert complete("lumibot-duckdb status A") == {"AAPL", "AMZN"}
    assert complete("lumibot-duckdb status b") == {"BTC/USD"}
    assert complete("lumibot-duckdb import --source m") == {"my_source"}


def test_the_sources_of_caches_are_those_of_the_migration() -> None:
    assert set(cache_sources()) == set(sources_with_cache())
