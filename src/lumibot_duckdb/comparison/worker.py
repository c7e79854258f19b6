"""The process that runs a script on one of the two storages and records its backtests.

`python -m lumibot_duckdb.comparison.worker JOB RESULT [ARGUMENT]...`: JOB is a JSON file with a `Job`, and RESULT is
the file to write the outcome to; the recordings go to the same folder. The arguments are passed to the script. They
are not in the job file because they may contain keys.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lumibot_duckdb.activation.env_overrides import override_environment
from lumibot_duckdb.comparison.headless import suppress_browser
from lumibot_duckdb.comparison.meters import BEFORE, Meters, bytes_in
from lumibot_duckdb.comparison.outcome import DUCKDB, write_outcome
from lumibot_duckdb.comparison.progress import ProgressReport, progress_file
from lumibot_duckdb.comparison.redaction import known_secrets, redacted
from lumibot_duckdb.comparison.sandbox import refuse_connections
from lumibot_duckdb.comparison.secret_pipe import report_secrets
from lumibot_duckdb.comparison.truncate import truncate
from lumibot_duckdb.comparison.versions import versions_of_run
from lumibot_duckdb.storage.location import DEFAULT_FOLDER

_INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Job:
    """A script to run on a side (`outcome.SIDES`): its path, or the name of a module.

    `settings` are environment variables that no `.env` file can override. `keys` is the pipe to which keys that the
    script loads are reported, and `notices`, if given, the one for lines that the user sees at once. `stored_as_of`, if
    given, is a moment (ISO 8601, with its zone) as of which the store answers in place of the providers. `is_offline`
    refuses every connection.
    """

    side: str
    script: str
    store: str
    settings: dict[str, str]
    keys: int
    is_module: bool = False
    stored_as_of: str | None = None
    is_offline: bool = False
    notices: int | None = None


def main(arguments: list[str]) -> int:
    """Read the job, run it and write the outcome; return 0 if the script ran to its end."""
    meters = Meters()
    job_file, result_file = map(Path, arguments[:2])
    job = Job(**json.loads(job_file.read_text()))
    refused = refuse_connections() if job.is_offline else []
    secrets = report_secrets(job.keys)
    secrets.update(known_secrets(Path(job.script)))
    override_environment(job.settings)
    suppress_browser()
    # Lumibot looks for `.env` files next to the script that `sys.argv` names.
    sys.argv[:] = [_file_of(job), *arguments[2:]]
    from lumibot.constants import LUMIBOT_CACHE_FOLDER

    from lumibot_duckdb.comparison.notices import send_notices
    from lumibot_duckdb.comparison.recorder import Recorder

    recorder = Recorder(result_file.parent, meters, secrets)
    recorder.install()
    if job.notices is not None:
        send_notices(job.notices)
    ProgressReport(progress_file(result_file.parent), recorder.progress).start()
    if job.side == DUCKDB:
        import lumibot_duckdb
        from lumibot_duckdb.sources.shared.lifecycle import make_steps_cheaper

        lumibot_duckdb.activate()
        make_steps_cheaper()  # before methods of sources are recorded, which wraps what there is
    with meters.excluded():
        if job.stored_as_of is not None:
            _serve_providers_from_store(job.store, datetime.fromisoformat(job.stored_as_of))
        meters.disk_before = _bytes_on_disk(job, Path(LUMIBOT_CACHE_FOLDER))
    meters.enter(BEFORE)
    error = _run(job, arguments[2:])
    if recorder.is_forked:
        return 0 if error is None else 1
    if error is not None:
        error = truncate(redacted(error, frozenset(secrets)))
    with meters.excluded():
        meters.disk_after = _bytes_on_disk(job, Path(LUMIBOT_CACHE_FOLDER))
    rest = (versions_of_run(), error, _not_stored(job), refused)
    write_outcome(result_file, meters.stop(), recorder.count, *rest)
    return 0 if error is None else 1


def _serve_providers_from_store(store: str, as_of: datetime) -> None:
    from lumibot_duckdb.comparison.stored_provider import serve_from_store
    from lumibot_duckdb.duckdb_storage import DuckDBDataStorage

    serve_from_store(DuckDBDataStorage(store), as_of=as_of)


def _not_stored(job: Job) -> list[str]:
    """Return the requests to providers that the store could not answer in their place."""
    if job.stored_as_of is None:
        return []
    from lumibot_duckdb.comparison.stored_provider import unanswered

    return unanswered()


def _run(job: Job, arguments: list[str]) -> str | None:
    """Run the script as Python would, until its threads end; return what went wrong."""
    error = _run_in_main_thread(job, arguments)
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # as Python does before it exits
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
            raise  # a process that the script forked exits as usual
        return _exit_error(ended.code)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {_one_line(error)}"
    return None


def _exit_error(code: object) -> str | None:
    """Return what `sys.exit(code)` reports; None if the script succeeded."""
    if code is None or isinstance(code, int):
        return f"it ended with exit code {int(code)}" if code else None
    print(code, file=sys.stderr)  # as Python does
    return f"it ended with: {_one_line(code)}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _file_of(job: Job) -> str:
    """Return the `sys.argv[0]` with which Python would run the script."""
    if not job.is_module:
        return job.script
    from lumibot_duckdb.activation.script import file_of_module

    return str(file_of_module(job.script) or job.script)


def _bytes_on_disk(job: Job, lumibots_cache: Path) -> int:
    """Return the size of the side's cache: the store with its side files, or Lumibot's folder without the store."""
    from lumibot_duckdb.storage.connection.store_connection import StoreConnection

    store = Path(job.store)
    if job.side != DUCKDB:
        return bytes_in(lumibots_cache, without=(store.parent, lumibots_cache / DEFAULT_FOLDER))
    StoreConnection.of(store).close()  # the last writes may still be in DuckDB's log, which has another size
    return sum(
        bytes_in(path) if path.is_dir() else path.lstat().st_size for path in store.parent.glob(f"{store.name}*")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
