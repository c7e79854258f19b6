"""Runs a user's script in this process as `python script.py` does."""

from __future__ import annotations

import builtins
import io
import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class NoScriptError(Exception):
    """The script or module does not exist or cannot be run; the message says why."""


def run_script(path: str | os.PathLike[str], arguments: Sequence[str]) -> None:
    """Run a script as `python path arguments...` does. The caller decides whether our sources are active.

    A folder or an archive is run by its `__main__.py`. `sys.argv`, `sys.path[0]` and the module `__main__` become the
    script's. Raises what the script raises, `SystemExit` included; `SyntaxError` if it is not valid Python,
    `NoScriptError` if it cannot be read.
    """
    given = os.fspath(path)
    file = os.path.join(Path.cwd(), given)  # noqa: PTH118 - not made shorter, as Python does not either
    if Path(file).is_dir() or (Path(file).is_file() and zipfile.is_zipfile(file)):
        found = PathFinder.find_spec("__main__", [file])
        if found is None:
            raise NoScriptError(f"{given} is not a script and contains no __main__.py to run")
        _run_as_main(_code_of_module(found), _names_of_module(found), [given, *arguments], file)
        return
    names = {"__file__": file, "__cached__": None, "__loader__": SourceFileLoader("__main__", file)}
    _run_as_main(_code_of(file, given), names, [given, *arguments], str(Path(file).resolve().parent))


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module as `python -m name arguments...` does, a package by its `__main__`; otherwise as `run_script`.

    Raises `NoScriptError` if there is no such module.
    """
    folder = str(Path.cwd())
    sys.argv[:] = ["-m", *arguments]
    _search_first(folder)
    try:
        found = find_spec(name)
        if found is not None and found.submodule_search_locations is not None:
            found = find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as error:  # raised while importing its parent package
        raise NoScriptError(f"no module named {name}: {error}") from error
    if found is None:
        raise NoScriptError(f"no module named {name}, or it is a package without a module __main__")
    names = _names_of_module(found)
    _run_as_main(_code_of_module(found), names, [str(names["__file__"]), *arguments], folder)


def file_of_module(name: str) -> Path | None:
    """Return the file that `python -m name` runs; None if it cannot be found without importing the package.

    Raises `NoScriptError` if there is no such module.
    """
    try:
        found = _spec_of(name)
        if found.submodule_search_locations is not None:
            found = _spec_of(f"{name}.__main__")
    except KeyError:  # a namespace package in a package: its path is known only after an import
        return None
    return Path(found.origin) if found.has_location and found.origin else None


def _spec_of(name: str) -> ModuleSpec:
    """Return the spec of a module without importing the packages that it is in."""
    package, _, last = name.rpartition(".")
    folders: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    if package:
        folders = _spec_of(package).submodule_search_locations
    if not last or folders is None:
        raise NoScriptError(f"no module named {name}")
    found = PathFinder.find_spec(name, folders)
    if found is None and not package:
        found = find_spec(name)  # by the other finders
    if found is None:
        raise NoScriptError(f"no module named {name}")
    return found


def traceback_of_script(error: BaseException) -> TracebackType | None:
    """Return the part of an error's traceback that starts in the script; None if the script is not in it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        traceback = traceback.tb_next
    return traceback


def _run_as_main(code: CodeType, names: Mapping[str, Any], argv: Sequence[str], folder: str) -> None:
    """Run code as the module `__main__` of this process, with a folder first in the search path."""
    main = ModuleType("__main__")
    vars(main).update(names, __builtins__=builtins)
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    sys.argv[:] = argv
    _search_first(folder)
    exec(code, vars(main))


def _names_of_module(spec: ModuleSpec) -> dict[str, Any]:
    return {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": spec.loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }


def _code_of_module(spec: ModuleSpec) -> CodeType:
    code = spec.loader.get_code(spec.name) if isinstance(spec.loader, InspectLoader) else None
    if code is None:
        raise NoScriptError(f"{spec.name} contains no Python code to run")
    return code


def _code_of(file: str, given: str) -> CodeType:
    try:
        with io.open_code(file) as opened:
            source = opened.read()
    except OSError as error:
        raise NoScriptError(f"cannot read the script {given}: {error.strerror}") from error
    return compile(source, file, "exec", dont_inherit=True)


def _search_first(folder: str) -> None:
    """Put a folder first in the search path, in place of our command's folder."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder
