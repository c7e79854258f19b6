"""Reads definitions out of the source files of installed packages, without importing them.

The check runs before Lumibot's modules are imported, since some take seconds. Parsing whole modules is too slow as
well: some have 250 KB. So a regular expression finds the headers of classes and functions, and only the definitions
that matter are parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_HEADER = re.compile(r"^([ \t]*)(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)(?=[ \t]*[(:\[])", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\S+)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_BASES = re.compile(r"\s*class\s+\w+\s*\(([^)]*)\)\s*:")
_IDENTIFIER = re.compile(r"\w+")


@dataclass(frozen=True)
class _Region:
    """The text of a definition: from its header to the next header that is indented no further."""

    start: int
    stop: int
    indent: str


class SourceFile:
    """The text of one module, and what it defines under qualified names such as "Data._get_bars_row_bounds"."""

    def __init__(self, text: str) -> None:
        self._text = text

    def defines(self, path: str) -> bool:
        """Return whether a name is defined: by a header, by an assignment (also to `self`), or by an import."""
        if path in self._headers:
            return True
        owner, _, name = path.rpartition(".")
        if not owner:
            return _at_top(name).search(self._text) is not None or self.origin(name) is not None
        assigned = _in_class(name)
        return any(assigned.search(self._text, each.start, each.stop) for each in self._headers.get(owner, ()))

    def definitions(self, path: str) -> list[ast.stmt]:
        """Return the parsed statements that define a name: several for a property with a setter."""
        if path in self._headers:
            return [self._parsed(region.start, region.indent) for region in self._headers[path]]
        owner, _, name = path.rpartition(".")
        regions = self._headers.get(owner, []) if owner else [_Region(0, len(self._text), "")]
        assignments = [
            found
            for region in regions
            for found in _assignment_statement(name).finditer(self._text, region.start, region.stop)
            if bool(owner) == bool(found[1])
        ]
        return [self._parsed(found.start(), found[1]) for found in assignments]

    def bases(self, path: str) -> list[str]:
        """Return the names of a class's bases as the module writes them."""
        found = []
        for region in self._headers.get(path, ()):
            if bases := _BASES.match(self._text, region.start):
                found += [base.strip() for base in bases[1].split(",") if "=" not in base and base.strip()]
        return found

    def origin(self, name: str) -> tuple[str, str] | None:
        """Return from which module a name is imported, and its name there; None if it is not imported."""
        return self._imports.get(name)

    @cached_property
    def _imports(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for statement in _IMPORT.finditer(self._text):
            for part in re.sub("#.*", "", statement[2]).strip("() ").split(","):
                words = _IDENTIFIER.findall(part)
                if words:
                    found.setdefault(words[-1], (statement[1] or "", words[0]))
        return found

    @cached_property
    def _headers(self) -> dict[str, list[_Region]]:
        headers = list(_HEADER.finditer(self._text))
        found: dict[str, list[_Region]] = {}
        open_regions: list[tuple[int, str, _Region]] = []
        for number, header in enumerate(headers):
            depth = len(header[1])
            while open_regions and open_regions[-1][0] >= depth:
                open_regions.pop()
            following = (other.start() for other in headers[number + 1 :] if len(other[1]) <= depth)
            region = _Region(header.start(), next(following, len(self._text)), header[1])
            path = f"{open_regions[-1][1]}.{header[2]}" if open_regions else header[2]
            found.setdefault(path, []).append(region)
            open_regions.append((depth, path, region))
        return found

    def _parsed(self, start: int, indent: str) -> ast.stmt:
        """Return the statement that begins with the line at `start`, with the decorators above it."""
        first = self._first_decorator(start, indent)
        opening = "if True:\n" if indent else ""
        for end in self._possible_ends(start, indent):
            try:
                node = ast.parse(opening + self._text[first:end]).body[0]
            except SyntaxError:
                continue
            return node.body[0] if indent and isinstance(node, ast.If) else node
        raise SyntaxError(f"no complete statement at {self._text[start : start + 80]!r}")

    def _possible_ends(self, start: int, indent: str) -> Iterator[int]:
        """Yield the beginnings of following lines that are indented no further.

        The first ends the statement, unless it is part of a text over several lines.
        """
        line = re.compile(rf"^[ \t]{{0,{len(indent)}}}[^\s#)\]}}]", re.MULTILINE)
        first_line_end = self._text.find("\n", start) + 1
        if first_line_end:
            yield from (found.start() for found in line.finditer(self._text, first_line_end))
        yield len(self._text)

    def _first_decorator(self, start: int, indent: str) -> int:
        while start:
            above = self._text.rfind("\n", 0, start - 1) + 1
            if not self._text.startswith(f"{indent}@", above):
                break
            start = above
        return start


def _at_top(name: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:\w+[ \t]*[,=][ \t]*)*{name}[ \t]*(?::[^=\n]+)?[,=](?!=)", re.MULTILINE)


def _in_class(name: str) -> re.Pattern[str]:
    """Match an assignment to an attribute: in the class body, with or without a value, or to `self` or `cls`."""
    others = r"(?:[\w.]+[ \t]*[,=][ \t]*)*"
    value = r"(?:[ \t]*,[ \t]*[\w.]+)*[ \t]*(?::[^=\n]+)?=(?!=)"
    own = rf"^[ \t]+{name}[ \t]*(?::|=(?!=))"
    return re.compile(rf"{own}|^[ \t]+{others}(?:self|cls)\.{name}\b{value}", re.MULTILINE)


def _assignment_statement(name: str) -> re.Pattern[str]:
    return re.compile(rf"^((?:    )?){name}[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
