"""Runs a script on one of the two storages, in a process of its own, and records what its backtests did.

`python -m lumibot_duckdb.comparison.worker JOB RESULT [ARGUMENT]...`: JOB is a JSON file with a `Job`, RESULT is where
the outcome goes, beside it what was recorded. The arguments are the script's; they may have keys in them, so they are
in no file.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from lumibot_duckdb.activation.env_overrides import hold_settings
from lumibot_duckdb.comparison.headless import open_no_windows
from lumibot_duckdb.comparison.meters import BEFORE, Meters, bytes_in
from lumibot_duckdb.comparison.outcome import DUCKDB, write_outcome
from lumibot_duckdb.comparison.redaction import known_secrets, redacted
from lumibot_duckdb.comparison.sandbox import refuse_connections
from lumibot_duckdb.comparison.secret_pipe import tell_keys
from lumibot_duckdb.comparison.truncate import excerpt

_INTERRUPTED = "interrupted"
_PACKAGES = ("lumibot", "duckdb", "lumibot-duckdb", "pandas")


@dataclass(frozen=True)
class Job:
    """A script to run on a side (`outcome.SIDES`): its path, or the name of a module.

    `settings` hold there whatever `.env` files say. `keys` is the pipe in which keys that the script loads are told.
    `stored_as_of`, if given, is a moment (ISO 8601, with its zone): providers are not asked then, the store as it stood
    answers in their place. `is_offline` refuses every connection.
    """

    side: str
    script: str
    store: str
    settings: dict[str, str]
    keys: int
    is_module: bool = False
    stored_as_of: str | None = None
    is_offline: bool = False


def main(arguments: list[str]) -> int:
    """Read the job, run it, write the outcome; return 0 if the script came to its end."""
    meters = Meters()
    job_file, result_file = map(Path, arguments[:2])
    job = Job(**json.loads(job_file.read_text()))
    refused = refuse_connections() if job.is_offline else []
    secrets = tell_keys(job.keys)
    secrets.update(known_secrets(Path(job.script)))
    hold_settings(job.settings)
    open_no_windows()
    # Lumibot looks for `.env` files beside what is run.
    sys.argv[:] = [_file_of(job), *arguments[2:]]
    from lumibot.constants import LUMIBOT_CACHE_FOLDER

    from lumibot_duckdb.comparison.recorder import Recorder

    recorder = Recorder(result_file.parent, meters, secrets)
    recorder.install()
    if job.side == DUCKDB:
        import lumibot_duckdb

        lumibot_duckdb.activate()
    with meters.apart():
        if job.stored_as_of is not None:
            _stand_in_for_providers(job.store, datetime.fromisoformat(job.stored_as_of))
        meters.disk_before = _bytes_on_disk(job, Path(LUMIBOT_CACHE_FOLDER))
    meters.enter(BEFORE)
    error = _run(job, arguments[2:])
    if recorder.is_forked:
        return 0 if error is None else 1
    if error is not None:
        error = excerpt(redacted(error, frozenset(secrets)))
    with meters.apart():
        meters.disk_after = _bytes_on_disk(job, Path(LUMIBOT_CACHE_FOLDER))
    versions = {"python": sys.version.split()[0], **{package: version(package) for package in _PACKAGES}}
    write_outcome(result_file, meters.stop(), recorder.count, versions, error, _not_stored(job), refused)
    return 0 if error is None else 1


def _stand_in_for_providers(store: str, as_of: datetime) -> None:
    from lumibot_duckdb.comparison.stored_provider import serve_from_store
    from lumibot_duckdb.storage.duckdb_storage import DuckDBDataStorage

    serve_from_store(DuckDBDataStorage(store), as_of=as_of)


def _not_stored(job: Job) -> list[str]:
    """Return what was asked of providers that the store could not answer for them."""
    if job.stored_as_of is None:
        return []
    from lumibot_duckdb.comparison.stored_provider import unanswered

    return unanswered()


def _run(job: Job, arguments: list[str]) -> str | None:
    """Run the script as Python would, to the ends of its threads; return what went wrong."""
    error = _run_in_main_thread(job, arguments)
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # as Python does before it ends
    except KeyboardInterrupt:
        return _INTERRUPTED
    return error


def _run_in_main_thread(job: Job, arguments: list[str]) -> str | None:
    from lumibot_duckdb.activation.script import run_module, run_script

    process = os.getpid()
    try:
        if job.is_module:
            run_module(job.script, arguments)
        else:
            run_script(job.script, arguments)
    except SystemExit as ended:
        if os.getpid() != process:
            raise  # a process that the script forked ends as it would
        return _how_it_ended(ended.code)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {_in_one_line(error)}"
    return None


def _how_it_ended(code: object) -> str | None:
    """Say what `sys.exit(code)` means; None: the script came to its end."""
    if code is None or isinstance(code, int):
        return f"it ended with exit code {int(code)}" if code else None
    print(code, file=sys.stderr)  # as Python does
    return f"it ended with: {_in_one_line(code)}"


def _in_one_line(said: object) -> str:
    return " ".join(str(said).split())


def _file_of(job: Job) -> str:
    """Return what `sys.argv[0]` is when Python runs the script."""
    if not job.is_module:
        return job.script
    from lumibot_duckdb.activation.script import file_of_module

    return str(file_of_module(job.script) or job.script)


def _bytes_on_disk(job: Job, lumibots_cache: Path) -> int:
    """Return what the side's cache takes: the store with what lies beside it, or Lumibot's folder without that."""
    from lumibot_duckdb.storage.connection.store_connection import StoreConnection

    store = Path(job.store)
    if job.side != DUCKDB:
        return bytes_in(lumibots_cache, without=store.parent)
    StoreConnection.of(store).close()  # what was written last may still be in DuckDB's log, in another form
    return sum(
        bytes_in(path) if path.is_dir() else path.lstat().st_size for path in store.parent.glob(f"{store.name}*")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
