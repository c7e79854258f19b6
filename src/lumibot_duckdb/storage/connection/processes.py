"""Other processes in messages: enough to find one, and nothing of its command line that might be secret."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

_INTERPRETER = re.compile(r"(python|pypy)[\d.]*", re.IGNORECASE)
_NOTEBOOK = re.compile(r"[^/\\]+\.ipynb")


def describe_process(pid: int, fallback: str = "") -> str:
    """Return `process 1234 (python backtest.py, started 2024-06-03 09:12)`, with what is known of it.

    Arguments are left out, because they may contain passwords. The kernel of a notebook is named with its notebook.
    `fallback` is the name of the program if the system does not know it. The time is local.
    """
    import psutil  # type: ignore[import-untyped]  # here, because only messages need it

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name = process.name()
            known = [_with_script(name, process.cmdline())]
            known += [f"notebook {notebook}" for notebook in _notebook_of(process)]
            known.append(f"started {datetime.fromtimestamp(process.create_time()):%Y-%m-%d %H:%M}")
    except (psutil.Error, OSError):
        known = [fallback] if fallback else []
    return f"process {pid} ({', '.join(known)})" if known else f"process {pid}"


def posix_lock_holders(path: Path) -> set[int]:
    """Return the other processes that have a POSIX lock on a file, such as DuckDB's. Only Linux lists them."""
    try:
        found, lines = path.stat(), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return set()
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    locks = (line.split() for line in lines)
    # The number of a process in another container is not known here.
    return {pid for lock in locks if lock[1] == "POSIX" and lock[5] == file and (pid := int(lock[4])) > 0} - {
        os.getpid()
    }


def _with_script(name: str, command_line: list[str]) -> str:
    """Return the name of a program and, if it is Python, of the script or module that it runs."""
    if not command_line or not _INTERPRETER.fullmatch(Path(command_line[0]).name):
        return name
    script = _script(command_line[1:])
    return name if script in ("", name) else f"{name} {script}"


def _script(arguments: list[str]) -> str:
    words = iter(arguments)
    for word in words:
        if word == "-m":
            return f"-m {next(words, '')}"
        if word in ("-W", "-X"):
            next(words, None)  # the option's value
        elif not word.startswith("-"):
            return Path(word).name
        elif word == "-c":
            return word
    return ""


def _notebook_of(process: object) -> list[str]:
    """Return the name of the notebook whose kernel a process is, if Jupyter has passed it."""
    import psutil

    try:
        session = process.environ().get("JPY_SESSION_NAME", "")  # type: ignore[attr-defined]
    except (psutil.Error, OSError):
        return []
    found = _NOTEBOOK.search(session)
    return [found[0]] if found else []
