"""What a process of a sweep prints, and how it reports an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path

from lumibot_duckdb.activation.script import traceback_of_script
from lumibot_duckdb.comparison.redaction import redacted
from lumibot_duckdb.comparison.truncate import truncate

_LAST_LINES = 50


def redirect_output(file: Path) -> None:
    """Write what this process prints, also what libraries print, to a file."""
    flush_output()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def flush_output() -> None:
    """Write what Python has buffered."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def describe_error(error: BaseException, secrets: frozenset[str]) -> str:
    """Return an error in one line, without keys."""
    return truncate(redacted(_in_one_line(error), secrets))


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return f"it ended with exit code {int(error.code or 0)}"
        return f"it ended with: {' '.join(str(error.code).split())}"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def details_of(error: BaseException, output: Path, secrets: frozenset[str]) -> str:
    """Return the traceback of an error, from the script on, and the last lines of the output, without keys."""
    flush_output()
    shown = traceback.format_exception(type(error), error, traceback_of_script(error) or error.__traceback__)
    lines = last_lines(output, secrets)
    return redacted("".join(shown), secrets) + ("\nLast lines of the output:\n" + "\n".join(lines) if lines else "")


def last_lines(output: Path, secrets: frozenset[str]) -> list[str]:
    """Return the last lines that a process has written to its file of output, without keys."""
    with suppress(OSError), output.open(encoding="utf-8", errors="replace") as lines:
        found = deque((line.rstrip() for line in lines if line.strip()), maxlen=_LAST_LINES)
        return [truncate(redacted(line, secrets)) for line in found]
    return []
