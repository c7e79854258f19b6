"""Runs a script on one of the two storages, in a process of its own, and records what its backtests did.

`python -m lumibot_duckdb.comparison.side JOB RESULT [ARGUMENT]...`: JOB is a JSON file with a `Job`, RESULT is where
the outcome goes, beside it what was recorded. The arguments are the script's; they may have keys in them, so they are
in no file.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from lumibot_duckdb.comparison.meters import BEFORE, Meters, bytes_in
from lumibot_duckdb.comparison.outcome import DUCKDB, write_outcome
from lumibot_duckdb.comparison.redaction import known_secrets, redacted
from lumibot_duckdb.comparison.unattended import open_no_windows

_PACKAGES = ("lumibot", "duckdb", "lumibot-duckdb", "pandas")


@dataclass(frozen=True)
class Job:
    """A script to run on a side (`outcome.SIDES`): its path, or the name of a module.

    `stored_as_of`, if given, is a moment (ISO 8601, with its zone): providers are not asked then, the store as it stood
    answers in their place.
    """

    side: str
    script: str
    store: str
    is_module: bool = False
    stored_as_of: str | None = None


def main(arguments: list[str]) -> int:
    """Read the job, run it, write the outcome; return 0 if the script came to its end."""
    meters = Meters()
    job_file, result_file = map(Path, arguments[:2])
    job = Job(**json.loads(job_file.read_text()))
    open_no_windows()
    from lumibot.constants import LUMIBOT_CACHE_FOLDER

    from lumibot_duckdb.comparison.recorder import Recorder

    recorder = Recorder(result_file.parent, meters)
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
    with meters.apart():
        meters.disk_after = _bytes_on_disk(job, Path(LUMIBOT_CACHE_FOLDER))
    versions = {"python": sys.version.split()[0], **{package: version(package) for package in _PACKAGES}}
    write_outcome(result_file, meters.stop(), recorder.count, versions, error, _not_stored(job))
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
    """Run the script as Python would; return what went wrong."""
    from lumibot_duckdb.backtesting.switching.script import run_module, run_script

    try:
        if job.is_module:
            run_module(job.script, arguments)
        else:
            run_script(Path(job.script), arguments)
    except SystemExit as ended:
        return None if ended.code in (None, 0) else f"the script ended with exit code {ended.code}"
    except KeyboardInterrupt:
        return "interrupted"
    except BaseException as error:
        traceback.print_exc()
        said = " ".join(str(error).split())
        return redacted(f"{type(error).__name__}: {said}", known_secrets(Path(job.script)))
    return None


def _bytes_on_disk(job: Job, lumibots_cache: Path) -> int:
    """Return what the side's cache takes: the store with what lies beside it, or Lumibot's folder without that."""
    store = Path(job.store)
    if job.side != DUCKDB:
        return bytes_in(lumibots_cache, without=store.parent)
    return sum(
        bytes_in(path) if path.is_dir() else path.lstat().st_size for path in store.parent.glob(f"{store.name}*")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
