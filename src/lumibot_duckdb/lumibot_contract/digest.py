"""Digests of source code that depend on what the code does, not on how it is laid out.

Comments, docstrings, annotations and formatting do not count. A digest is made of the syntax tree by walking it here,
because the output of `ast.dump` and `ast.unparse` and the tokens of f-strings differ between versions of Python.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

_LEFT_OUT = frozenset(("annotation", "ctx", "kind", "returns", "simple", "type_comment", "type_params"))
_WITH_DOCSTRING = (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef)


def digest(definitions: Iterable[ast.AST]) -> str:
    """Return the digest of definitions, 16 hexadecimal digits."""
    parts: list[str] = []
    for definition in definitions:
        _write(definition, parts.append)
        parts.append("\n")
    return sha256("".join(parts).encode()).hexdigest()[:16]


def _write(node: Any, write: Callable[[str], None]) -> None:
    if isinstance(node, ast.AST):
        write(f"({type(node).__name__}")
        for name in node._fields:
            value = _field(node, name)
            if value is not None and value != []:
                write(f" {name}=")
                _write(value, write)
        write(")")
    elif isinstance(node, list):
        for each in node:
            write(",")
            _write(each, write)
    else:
        write(ascii(node))


def _field(node: ast.AST, name: str) -> Any:
    if name in _LEFT_OUT:
        return None
    value = getattr(node, name, None)
    if name == "body" and isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        return value[1:]  # type: ignore[index]
    if name == "values" and isinstance(node, ast.JoinedStr):
        return _joined(node.values)
    return value


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string with neighbouring texts joined, which versions of Python split differently."""
    found: list[ast.expr] = []
    for part in parts:
        if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
            found.append(part)
        elif found and isinstance(found[-1], ast.Constant):
            found[-1] = ast.Constant(f"{found[-1].value!s}{part.value}")
        elif part.value:
            found.append(part)
    return found
