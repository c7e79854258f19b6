"""Runs a person's script as `python script.py` does, in a process that is given over to it."""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

_PACKAGE = str(Path(__file__).parents[2]) + os.sep


class NoScriptError(Exception):
    """There is nothing to run under that name; the message says why."""


def run_script(path: Path, arguments: Sequence[str]) -> None:
    """Run a script as `python path arguments...` does; whether our sources are active is the caller's business.

    `sys.argv`, `sys.path[0]` and the module `__main__` are the script's from here on. Raises what the script raises,
    `SystemExit` included; `SyntaxError` for what is no Python, `NoScriptError` for what cannot be read.
    """
    code = _code_of(path)
    main = ModuleType("__main__")
    file = str(path.absolute())
    names = {"__file__": file, "__cached__": None, "__loader__": SourceFileLoader("__main__", file)}
    vars(main).update(names, __builtins__=builtins)
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    sys.argv[:] = [str(path), *arguments]
    _search_first(str(path.resolve().parent))
    exec(code, vars(main))


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module as `python -m name arguments...` does; otherwise as `run_script`.

    Raises `NoScriptError` for a module that there is not.
    """
    sys.argv[:] = [name, *arguments]
    _search_first(str(Path.cwd()))
    try:
        found = find_spec(name)
    except (ImportError, ValueError) as error:  # of a package that it would be in
        raise NoScriptError(f"no module named {name}: {error}") from error
    if found is None:
        raise NoScriptError(f"no module named {name}")
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def file_of_module(name: str) -> Path | None:
    """Return the file that `python -m name` runs; None if that cannot be known without importing anything.

    Raises `NoScriptError` for a module that there is not.
    """
    try:
        found = _spec_of(name)
        if found.submodule_search_locations is not None:
            found = _spec_of(f"{name}.__main__")
    except KeyError:  # a namespace in a package, which would have to be imported
        return None
    return Path(found.origin) if found.has_location and found.origin else None


def _spec_of(name: str) -> ModuleSpec:
    """Return what there is to know of a module without importing the packages that it is in."""
    package, _, last = name.rpartition(".")
    folders: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    if package:
        folders = _spec_of(package).submodule_search_locations
    if not last or folders is None:
        raise NoScriptError(f"no module named {name}")
    found = PathFinder.find_spec(name, folders)
    if found is None and not package:
        found = find_spec(name)  # by what else there is to find modules
    if found is None:
        raise NoScriptError(f"no module named {name}")
    return found


def traceback_of_script(error: BaseException) -> TracebackType | None:
    """Return the part of an error's traceback that begins in the script; None if it never got there."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        traceback = traceback.tb_next
    return traceback


def _code_of(path: Path) -> CodeType:
    file = str(path.absolute())
    if path.is_dir():
        raise NoScriptError(f"{path} is a folder, not a script")
    try:
        with io.open_code(file) as opened:
            source = opened.read()
    except OSError as error:
        raise NoScriptError(f"cannot read the script {path}: {error.strerror}") from error
    return compile(source, file, "exec", dont_inherit=True)


def _search_first(folder: str) -> None:
    """Have modules looked for in a folder first, in place of the one that Python put there for us."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder
