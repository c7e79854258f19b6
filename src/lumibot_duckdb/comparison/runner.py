"""Runs a script on one side, in a new process."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.headless import ENVIRONMENT
from lumibot_duckdb.comparison.notices import NoticeReader
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, read_outcome
from lumibot_duckdb.comparison.process import run_as_group
from lumibot_duckdb.comparison.redaction import hide_in_names, known_secrets, redacted, without
from lumibot_duckdb.comparison.sandbox import sandbox_environment
from lumibot_duckdb.comparison.secret_pipe import SecretReader
from lumibot_duckdb.comparison.truncate import truncate
from lumibot_duckdb.comparison.worker import Job

NAMES = {LUMIBOT: "Lumibot's storage", DUCKDB: "lumibot-duckdb"}
OUTPUT = "output.txt"
_NOTE_ON_LOGS = (
    "During a comparison, Lumibot writes no files to the folder logs. To compare a script that reads them, let it skip "
    "files that do not exist."
)
_MISSING_FILE_ERRORS = ("FileNotFoundError", "IndexError", "StopIteration", "ValueError")
"""Raised by opening a missing file, and by taking the first or last element, or the maximum, of an empty list."""
_LOGS = "logs"
_LAST_LINES = 20
_BINARY_SUFFIX = ".parquet"
_shown: set[str] = set()
"""Notices that the user has seen, which every run of a script repeats."""


class RunError(RuntimeError):
    """A script failed. `last_lines` are the last of its output, without known keys; `notes` explain the failure."""

    def __init__(self, side: str, reason: str, last_lines: list[str], notes: Sequence[str] = ()) -> None:
        super().__init__(f"the script failed on {NAMES[side]}: {reason}")
        self.side = side
        self.last_lines = last_lines
        self.notes = notes


@dataclass(frozen=True)
class Script:
    """A script (its path, or the name of a module) with its arguments, and the store for our side.

    `stored_as_of`, if given, is a moment (tz-aware) as of which the store answers in place of the providers. `sandbox`,
    if given, is the working folder of a script that runs without the user's settings and keys, and without a network.
    `input_lines` are what `input()` returns, one line each.
    """

    path: Path
    arguments: tuple[str, ...]
    store: Path
    is_module: bool = False
    stored_as_of: datetime | None = None
    sandbox: Path | None = None
    input_lines: tuple[str, ...] = ()


def run_side(script: Script, side: str, folder: Path, cache: Path | None = None) -> Run:
    """Run a script on a side and return the run. Raises `RunError` if the script fails.

    The recordings, the script's output and Lumibot's log files go to `folder`, which is created. The script runs in the
    current folder, or in its sandbox. `cache` is Lumibot's cache folder (default: the user's).
    """
    folder.mkdir(parents=True)
    job, result, output = folder / "job.json", folder / "result.json", folder / OUTPUT
    settings, keys, notices = _settings(script, side, cache), SecretReader(), NoticeReader(_show_once)
    job.write_text(json.dumps(asdict(_job(script, side, settings, keys.pipe, notices.pipe))))
    command = [sys.executable, "-m", "lumibot_duckdb.comparison.worker", str(job), str(result), *script.arguments]
    logs_before = Path(_LOGS).exists()
    inherited = os.environ if script.sandbox is None else sandbox_environment(script.sandbox)
    environment = {**inherited, **settings, "PYTHONHASHSEED": _shared_hash_seed()}
    try:
        with output.open("w", encoding="utf-8") as writing, _standard_input(script.input_lines) as reading:
            code = run_as_group(
                command,
                environment=environment,
                output=writing,
                input=reading,
                pipe=keys.pipe,
                notices=notices.pipe,
                folder=script.sandbox,
            )
    finally:
        notices.end()
        secrets = known_secrets(script.path) | keys.end()
        last_lines = _redact_output(output, secrets)
        _redact_files(folder, secrets)
        if not logs_before:
            _remove_if_empty(Path(_LOGS))
    if not result.exists():
        raise RunError(side, _reason(code), last_lines)
    outcome = read_outcome(result)
    if outcome.error is not None:
        raise RunError(side, outcome.error, last_lines, _notes_on_failure(outcome.error, outcome.not_stored, folder))
    return Run(outcome, folder)


def run_in_sandbox(script: Script, side: str, folder: Path) -> Run:
    """Run a script on a side without the user's settings and caches, and without a network.

    The sandbox is `sandbox_of(side, folder)`, which is created, and the recordings go to a subfolder with the name of
    the side. Raises `RunError` if the script fails.
    """
    sandbox = sandbox_of(side, folder)
    sandbox.mkdir(parents=True)
    return run_side(replace(script, sandbox=sandbox), side, folder / side, sandbox / "lumibot-cache")


def sandbox_of(side: str, folder: Path) -> Path:
    """Return the working folder of a script that `run_in_sandbox` runs."""
    return folder / f"{side}-sandbox"


def warm_up() -> None:
    """Import once what both sides import, so that the first of them does not pay for reading files from a cold disk."""
    with TemporaryDirectory(prefix="lumibot-duckdb-warm-up-") as folder, TemporaryFile("w+") as output:
        environment = {**sandbox_environment(Path(folder)), **ENVIRONMENT}
        command = [sys.executable, "-m", "lumibot_duckdb.comparison.warm_up"]
        run_as_group(command, environment=environment, output=output, folder=Path(folder))


@contextmanager
def _standard_input(lines: Sequence[str]) -> Iterator[IO[bytes]]:
    """Yield an open file without a name, because answers may be keys."""
    with TemporaryFile() as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.seek(0)
        yield file


def _show_once(notice: str) -> None:
    if notice not in _shown:
        _shown.add(notice)
        print(f"\n{notice}", file=sys.stderr, flush=True)


def notes_on_store(not_stored: Sequence[str]) -> list[str]:
    """Return a note on requests that the store could not answer, if there were any."""
    if not not_stored:
        return []
    return ["The store lacks data that the script requested; the requests returned no data: " + "; ".join(not_stored)]


def _notes_on_failure(error: str, not_stored: Sequence[str], folder: Path) -> list[str]:
    notes = notes_on_store(not_stored)
    written_elsewhere = any((folder / _LOGS).glob("*"))
    if written_elsewhere and error.startswith(_MISSING_FILE_ERRORS):
        notes.append(_NOTE_ON_LOGS)
    return notes


def _job(script: Script, side: str, settings: dict[str, str], keys: int, notices: int) -> Job:
    as_of = script.stored_as_of.isoformat() if script.stored_as_of is not None else None
    is_offline = script.sandbox is not None
    return Job(side, str(script.path), str(script.store), settings, keys, script.is_module, as_of, is_offline, notices)


def _settings(script: Script, side: str, cache: Path | None) -> dict[str, str]:
    """Return the environment variables of a side, which take precedence over the script's own."""
    settings = {
        **ENVIRONMENT,
        "LUMIBOT_USE_DUCKDB": "true" if side == DUCKDB else "false",
        "LUMIBOT_DUCKDB_ROLLOUT": "100",
        "LUMIBOT_DUCKDB_PATH": str(script.store),
    }
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        settings["LUMIBOT_CACHE_FOLDER"] = str(cache)
    return settings


def _shared_hash_seed() -> str:
    """Return one hash seed for all runs, so that each iterates over a set in the same order."""
    chosen = os.environ.get("PYTHONHASHSEED", "")
    return chosen if chosen.isdigit() else "0"


def _reason(code: int) -> str:
    if code > 0:
        return f"its process ended with code {code}"
    if code == 0:
        return (
            "its process ended with code 0 before the results were saved, as os._exit does. Let the script run to its "
            "last line, or end it with sys.exit"
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", which the system sends when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{memory}"


def _redact_output(output: Path, secrets: frozenset[str]) -> list[str]:
    """Remove known keys from the output of a script; return its last lines."""
    hidden = output.with_suffix(".hidden")
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with output.open(encoding="utf-8", errors="replace") as lines, hidden.open("w", encoding="utf-8") as kept:
        for line in lines:
            shown = redacted(line, secrets)
            kept.write(shown)
            if shown.strip():
                last.append(truncate(shown.rstrip()))
    hidden.replace(output)
    return list(last)


def _redact_files(folder: Path, secrets: frozenset[str]) -> None:
    """Remove known keys from Lumibot's files in subfolders, and from their names; the recordings have none."""
    for path in folder.glob("*/**/*"):
        if path.is_file() and path.suffix != _BINARY_SUFFIX:
            text = path.read_bytes().decode(errors="surrogateescape")
            if (hidden := without(text, secrets)) != text:
                path.write_bytes(hidden.encode(errors="surrogateescape"))
    hide_in_names(folder, secrets)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it has files of the script, or does not exist
