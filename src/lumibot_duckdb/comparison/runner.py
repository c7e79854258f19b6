"""Runs a script on the two sides, each time in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from lumibot_duckdb.comparison.differences import Run
from lumibot_duckdb.comparison.headless import ENVIRONMENT
from lumibot_duckdb.comparison.outcome import DUCKDB, LUMIBOT, read_outcome
from lumibot_duckdb.comparison.process import run_as_group
from lumibot_duckdb.comparison.redaction import known_secrets, redacted, without
from lumibot_duckdb.comparison.sandbox import sandbox_environment
from lumibot_duckdb.comparison.secret_pipe import KeysHeard
from lumibot_duckdb.comparison.truncate import excerpt
from lumibot_duckdb.comparison.worker import Job

NAMES = {LUMIBOT: "Lumibot's storage", DUCKDB: "lumibot-duckdb"}
OUTPUT = "output.txt"
_READS_LOGS = (
    "Under compare, Lumibot writes no files to logs. A script that reads them there can be compared if it does without "
    "them when they are not there."
)
_OF_MISSING_FILES = ("FileNotFoundError", "IndexError", "StopIteration", "ValueError")
"""What comes of opening a file that is not there, and of taking the first, the last or the latest of none."""
_LOGS = "logs"
_LAST_LINES = 15
_NO_TEXT = ".parquet"


class RunError(RuntimeError):
    """A script did not come to its end. `last_lines` are of its output, without the keys that are known.

    `notes` are what a person should know of it.
    """

    def __init__(self, side: str, reason: str, last_lines: list[str], notes: Sequence[str] = ()) -> None:
        super().__init__(f"the script failed on {NAMES[side]}: {reason}")
        self.side = side
        self.last_lines = last_lines
        self.notes = notes


@dataclass(frozen=True)
class Script:
    """A script (its path, or the name of a module) with its arguments, and the store for our side.

    `stored_as_of`, if given, is a moment (tz-aware) as of which the store answers in the place of providers. `sandbox`,
    if given, is the folder to work in, without the user's settings and keys, and without a network.
    """

    path: Path
    arguments: tuple[str, ...]
    store: Path
    is_module: bool = False
    stored_as_of: datetime | None = None
    sandbox: Path | None = None


def run_side(script: Script, side: str, folder: Path, cache: Path | None = None) -> Run:
    """Run a script on a side. What is recorded, its output and Lumibot's files about the backtests go to a new folder.

    The script works in the present folder, or in its sandbox. `cache` is Lumibot's cache folder, if not the person's
    own. Raises `RunError` when the script fails.
    """
    folder.mkdir(parents=True)
    job, result, output = folder / "job.json", folder / "result.json", folder / OUTPUT
    settings, keys = _settings(script, side, cache), KeysHeard()
    job.write_text(json.dumps(asdict(_job(script, side, settings, keys.pipe))))
    command = [sys.executable, "-m", "lumibot_duckdb.comparison.worker", str(job), str(result), *script.arguments]
    logs_before = Path(_LOGS).exists()
    around = os.environ if script.sandbox is None else sandbox_environment(script.sandbox)
    environment = {**around, **settings, "PYTHONHASHSEED": _hash_seed()}
    try:
        with output.open("w", encoding="utf-8") as writing:
            code = run_as_group(command, environment=environment, output=writing, pipe=keys.pipe, folder=script.sandbox)
    finally:
        secrets = known_secrets(script.path) | keys.end()
        last_lines = _hide_keys(output, secrets)
        _hide_keys_in_files(folder, secrets)
        if not logs_before:
            _remove_if_empty(Path(_LOGS))
    if not result.exists():
        raise RunError(side, _reason(code), last_lines)
    outcome = read_outcome(result)
    if outcome.error is not None:
        raise RunError(side, outcome.error, last_lines, _notes_on_failure(outcome.error, outcome.not_stored, folder))
    return Run(outcome, folder)


def notes_on_the_store(not_stored: Sequence[str]) -> list[str]:
    """Say what the store lacks of what was asked for, if anything."""
    if not not_stored:
        return []
    said = "The store does not have all that was asked for, and the script was told that there is nothing: "
    return [said + "; ".join(not_stored)]


def _notes_on_failure(error: str, not_stored: Sequence[str], folder: Path) -> list[str]:
    notes = notes_on_the_store(not_stored)
    written_elsewhere = any((folder / _LOGS).glob("*"))
    if written_elsewhere and error.startswith(_OF_MISSING_FILES):
        notes.append(_READS_LOGS)
    return notes


def _job(script: Script, side: str, settings: dict[str, str], pipe: int) -> Job:
    as_of = script.stored_as_of.isoformat() if script.stored_as_of is not None else None
    is_offline = script.sandbox is not None
    return Job(side, str(script.path), str(script.store), settings, pipe, script.is_module, as_of, is_offline)


def _settings(script: Script, side: str, cache: Path | None) -> dict[str, str]:
    """Return what holds on a side, whatever the script's own settings say."""
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


def _hash_seed() -> str:
    """Return what all sides draw their hashes from, so that each goes through a set in the same order."""
    chosen = os.environ.get("PYTHONHASHSEED", "")
    return chosen if chosen.isdigit() else "0"


def _reason(code: int) -> str:
    if code > 0:
        return f"its process ended with code {code}"
    if code == 0:
        return (
            "its process ended with code 0 before what it did was written down, as os._exit makes it. Let the script "
            "come to its last line, or end it with sys.exit"
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{memory}"


def _hide_keys(output: Path, secrets: frozenset[str]) -> list[str]:
    """Take the keys that are known out of what a script wrote; return its last lines."""
    hidden = output.with_suffix(".hidden")
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with output.open(encoding="utf-8", errors="replace") as lines, hidden.open("w", encoding="utf-8") as kept:
        for line in lines:
            shown = redacted(line, secrets)
            kept.write(shown)
            if shown.strip():
                last.append(excerpt(shown.rstrip()))
    hidden.replace(output)
    return list(last)


def _hide_keys_in_files(folder: Path, secrets: frozenset[str]) -> None:
    """Take the keys that are known out of what Lumibot wrote, in folders; what is recorded is written without them."""
    as_written = secrets | {json.dumps(secret)[1:-1] for secret in secrets}
    for path in folder.glob("*/**/*"):
        if path.is_file() and path.suffix != _NO_TEXT:
            text = path.read_bytes().decode(errors="surrogateescape")
            if (hidden := without(text, as_written)) != text:
                path.write_bytes(hidden.encode(errors="surrogateescape"))


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # a script put something there, or there is none
